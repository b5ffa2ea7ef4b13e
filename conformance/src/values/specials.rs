//! The values where implementations go wrong.

use std::collections::HashSet;

use emily_spec::{DType, Domain};

use super::allows;
use crate::number::{self, Format};

/// The special values of a dtype that lie in a domain, each once.
pub fn specials(dtype: DType, domain: Domain) -> Vec<u64> {
    let mut pack = match Format::of(dtype) {
        None => integer_specials(dtype),
        Some(format) if dtype.is_complex() => complex_specials(format),
        Some(format) => float_specials(format),
    };
    pack.retain(|&element| allows(domain, dtype, element));
    let mut seen = HashSet::new();
    pack.retain(|&element| seen.insert(element));
    pack
}

fn integer_specials(dtype: DType) -> Vec<u64> {
    let Some((min, max)) = number::limits(dtype) else {
        return Vec::new();
    };
    let mut values = vec![min, min + 1, max, max - 1, max / 2, max / 2 + 1];
    values.extend([-7, -5, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7, 10, 100]);
    for power in [8, 16, 24, 31, 32, 53, 63] {
        values.extend([(1 << power) - 1, 1 << power, (1 << power) + 1]);
    }
    values
        .into_iter()
        .filter(|value| (min..=max).contains(value))
        .map(|value| number::wrapped(dtype, value))
        .collect()
}

fn float_specials(format: Format) -> Vec<u64> {
    let one = format.one();
    // From here on neighbours are two apart, and one below it they are a half apart.
    let gap = 2f64.powi(format.fraction as i32 + 1);
    let mut magnitudes = vec![
        0,
        1,
        format.tiny() - 1,
        format.tiny(),
        format.max(),
        format.inf(),
        format.nan(),
        one - 1,
        one,
        one + 1,
        format.nearest(0.5) - 1,
    ];
    let numbers = [
        0.5,
        1.5,
        2.0,
        2.5,
        3.0,
        4.5,
        7.0,
        10.0,
        1.0 / 3.0,
        100.3,
        65504.0,
        gap / 2.0 - 0.5,
        gap / 2.0 + 1.0,
        gap,
        gap + 2.0,
    ];
    magnitudes.extend(numbers.map(|value| format.nearest(value)));
    let mut pack: Vec<u64> = magnitudes
        .iter()
        .flat_map(|&m| [m, m | format.sign()])
        .collect();
    pack.push(format.inf() | 1 << (format.fraction - 1) | 1);
    pack
}

fn complex_specials(format: Format) -> Vec<u64> {
    let sign = format.sign();
    let halves = [
        0,
        sign,
        format.one(),
        sign | format.nearest(0.5),
        format.nearest(3.0),
    ];
    let mut pack: Vec<u64> = halves
        .iter()
        .flat_map(|&re| halves.map(|im| number::complex(re, im)))
        .collect();
    for edge in [format.inf(), sign | format.inf(), format.nan(), 1] {
        for other in [0, format.one(), edge] {
            pack.extend([number::complex(edge, other), number::complex(other, edge)]);
        }
    }
    pack
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_narrow_integers_only() {
        let pack = specials(DType::S32, Domain::Range(0.0, 7.0));
        assert!(pack.contains(&7) && pack.contains(&0));
        assert!(pack.iter().all(|&element| element <= 7));
        assert!(!specials(DType::U8, Domain::NonZero).contains(&0));
        let floats = specials(DType::F32, Domain::NonZero);
        assert!(floats.contains(&0) && floats.contains(&0x8000_0000));
    }

    #[test]
    fn integer_packs_hold_the_edges() {
        let pack = specials(DType::S64, Domain::Any);
        for value in [i64::MIN, -1, 0, 1, (1 << 24) + 1, (1 << 53) + 1, i64::MAX] {
            assert!(pack.contains(&(value as u64)), "{value}");
        }
    }
}
