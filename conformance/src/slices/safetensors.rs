//! The tensors of a file of safetensors, as Emily has them.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail};
use emily_spec::{DType, Tensor, TensorType};
use safetensors::{Dtype, SafeTensors};

/// The tensors of a file, by name.
///
/// # Errors
/// When the file cannot be read, or is none of this format.
pub(super) fn read(path: &Path) -> anyhow::Result<BTreeMap<String, Tensor>> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    parse(&bytes).with_context(|| path.display().to_string())
}

fn parse(bytes: &[u8]) -> anyhow::Result<BTreeMap<String, Tensor>> {
    let views = SafeTensors::deserialize(bytes)?.tensors();
    let tensor = |(name, view): (String, safetensors::tensor::TensorView<'_>)| {
        let ty = TensorType::new(dtype(view.dtype())?, view.shape().to_vec());
        let tensor = Tensor::new(ty, view.data().to_vec());
        let tensor = tensor.map_err(|error| anyhow::anyhow!("{name}: {error}"))?;
        Ok((name, tensor))
    };
    views.into_iter().map(tensor).collect()
}

/// The dtypes that the slices have.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the format's list of dtypes is open"
)]
fn dtype(dtype: Dtype) -> anyhow::Result<DType> {
    Ok(match dtype {
        Dtype::F64 => DType::F64,
        Dtype::F32 => DType::F32,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::Bf16,
        Dtype::I64 => DType::S64,
        other => bail!("the dtype {other:?}"),
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
