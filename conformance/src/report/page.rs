//! What every report's page has, the soak's too: one file that needs nothing else, neither a server nor a
//! network, with the house's style, the first lines of its script, and its data.

use serde::Serialize;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("house.js");

/// A page: its template, and its own style and script behind the house's. The script finds `data` as `data`.
///
/// # Errors
/// When the data is no JSON.
pub fn page(
    template: &str,
    style: &str,
    script: &str,
    data: &impl Serialize,
) -> serde_json::Result<String> {
    let data = embedded(data)?;
    // The data comes last, so that no text from a run is taken for a place to fill.
    Ok(template
        .replace("/*{style}*/", &[STYLE, style].concat())
        .replace("/*{script}*/", &[SCRIPT, script].concat())
        .replace("{data}", &data))
}

/// JSON that cannot end or comment out the script element it stands in: `<` occurs in JSON only
/// inside strings, where its escape means the same.
fn embedded(value: &impl Serialize) -> serde_json::Result<String> {
    Ok(serde_json::to_string(value)?.replace('<', "\\u003c"))
}
