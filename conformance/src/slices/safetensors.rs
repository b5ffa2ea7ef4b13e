//! Reading safetensors: eight bytes with the length of a JSON header, the header, the elements.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail};
use emily_spec::{DType, Tensor, TensorType};
use serde::Deserialize;

#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [usize; 2],
}

/// The tensors of a file, by name.
///
/// # Errors
/// When the file cannot be read, or is none of this format.
pub(super) fn read(path: &Path) -> anyhow::Result<BTreeMap<String, Tensor>> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    parse(&bytes).with_context(|| path.display().to_string())
}

fn parse(bytes: &[u8]) -> anyhow::Result<BTreeMap<String, Tensor>> {
    let (length, rest) = bytes.split_first_chunk().context("no header")?;
    let length = usize::try_from(u64::from_le_bytes(*length))?;
    let (header, data) = rest
        .split_at_checked(length)
        .context("a header cut short")?;
    let mut header: BTreeMap<String, serde_json::Value> = serde_json::from_slice(header)?;
    header.remove("__metadata__");
    let mut tensors = BTreeMap::new();
    for (name, entry) in header {
        let entry: Entry = serde_json::from_value(entry)?;
        let [from, to] = entry.data_offsets;
        let elements = data.get(from..to).context("elements cut short")?;
        let ty = TensorType::new(dtype(&entry.dtype)?, entry.shape);
        let tensor = Tensor::new(ty, elements.to_vec());
        let tensor = tensor.map_err(|error| anyhow::anyhow!("{name}: {error}"))?;
        tensors.insert(name, tensor);
    }
    Ok(tensors)
}

/// The dtypes that the slices have.
fn dtype(name: &str) -> anyhow::Result<DType> {
    Ok(match name {
        "F64" => DType::F64,
        "F32" => DType::F32,
        "F16" => DType::F16,
        "BF16" => DType::Bf16,
        "I64" => DType::S64,
        _ => bail!("the dtype {name}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_are_where_the_header_says() {
        let header = br#"{"__metadata__":{"format":"pt"},"a/b":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}"#;
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header);
        bytes.extend(7_u64.to_le_bytes());
        let tensors = parse(&bytes).unwrap();
        assert_eq!(tensors["a/b"].ty().to_string(), "s64[1]");
        assert!(parse(&bytes[..bytes.len() - 1]).is_err());
        assert!(parse(&bytes[..7]).is_err());
    }
}
