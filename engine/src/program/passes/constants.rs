//! Each constant once, and none that is not used.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use emily_spec::{Id, Region, Tensor};

use super::Renamed;

/// The constants, which come after so many parameters, each once, and the body that uses these.
pub(super) fn once(
    parameters: usize,
    constants: Vec<Arc<Tensor>>,
    mut body: Region,
) -> (Vec<Arc<Tensor>>, Region) {
    if constants.is_empty() {
        return (constants, body);
    }
    let mut used = HashSet::new();
    collect(&body, &mut used);
    let id = |place: usize| Id(u32::try_from(parameters + place).unwrap_or(u32::MAX));
    let mut kept: Vec<Arc<Tensor>> = Vec::new();
    let mut seen: HashMap<Arc<Tensor>, Id> = HashMap::new();
    let mut renamed = Renamed::default();
    for (place, tensor) in constants.into_iter().enumerate() {
        if !used.contains(&id(place)) {
            continue;
        }
        let new = *seen.entry(tensor.clone()).or_insert_with(|| {
            kept.push(tensor);
            id(kept.len() - 1)
        });
        renamed.0.insert(id(place), new);
    }
    rename(&mut body, &renamed);
    (kept, body)
}

fn collect(region: &Region, used: &mut HashSet<Id>) {
    used.extend(&region.results);
    for node in &region.nodes {
        used.extend(node.step.operands());
        node.step.regions().for_each(|region| collect(region, used));
    }
}

fn rename(region: &mut Region, renamed: &Renamed) {
    renamed.all(&mut region.results);
    for node in &mut region.nodes {
        renamed.operands(&mut node.step);
        node.step
            .regions_mut()
            .for_each(|region| rename(region, renamed));
    }
}
