//! What our own kernels take beside operands and results counts as what it is. A process of its own and one test,
//! because the limit and the counter are the process's.

mod common;

use emily_engine::memory;
use emily_spec::Op;
use serde_json::json;

const MIB: usize = 1 << 20;

/// What our kernels compute takes no more than its results, and a copy of the operands where rows are needed whole.
#[test]
fn what_needs_nothing_on_the_way_is_computed_within_the_limit() {
    let worker = common::worker();
    let shape: &[usize] = &[8 << 10, 1 << 10];
    let attrs = json!({"dtype": "f32", "shape": shape, "value": 0.25});
    let constant = Op::read("constant", attrs).unwrap();
    let x = worker.apply(&constant, &[]).unwrap().remove(0);
    x.eval().unwrap();
    let pair = [x.clone(), x.clone()];
    common::settle(&worker);
    let room = memory::stats().unwrap().active + 80 * MIB;
    let before = memory::set_limit(room).unwrap();
    for (name, operands) in [
        ("exp", &pair[..1]),
        ("sin", &pair[..1]),
        ("erf_inv", &pair[..1]),
        ("erfc", &pair[..1]),
        ("pow", &pair),
        ("less", &pair),
    ] {
        memory::reset_peak().unwrap();
        let op = Op::read(name, json!({})).unwrap();
        let y = worker.apply(&op, operands).unwrap().remove(0);
        y.eval().unwrap_or_else(|error| panic!("{name}: {error}"));
        let peak = memory::stats().unwrap().peak;
        assert!(peak <= room, "{name}: {peak} of {room} bytes");
    }
    let softmax = Op::read("softmax", json!({"axes": [1]})).unwrap();
    let y = worker.apply(&softmax, &pair[..1]).unwrap().remove(0);
    y.eval().unwrap();
    memory::set_limit(before).unwrap();
}
