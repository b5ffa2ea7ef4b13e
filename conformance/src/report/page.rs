//! What every report's page has, the soak's too: one file that needs nothing else, neither a server nor a
//! network, with the house's frame, style and first lines of script, and its data.

use serde::Serialize;

const FRAME: &str = include_str!("frame.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("house.js");

/// What a page has of its own.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// What of Emily it is about, in its title.
    pub about: &'a str,
    /// What the script draws, in a word.
    pub drawn: &'a str,
    /// The id of the section that who reads it by ear skips to.
    pub heart: &'a str,
    /// What stands between the heading and the scripts.
    pub body: &'a str,
    /// Behind the house's style.
    pub style: &'a str,
    /// Behind the house's script; it finds the data as `data`.
    pub script: &'a str,
}

impl Page<'_> {
    /// The whole page with this data.
    ///
    /// # Errors
    /// When the data is no JSON.
    pub fn with(&self, data: &impl Serialize) -> serde_json::Result<String> {
        let data = embedded(data)?;
        // The data comes last, so that no text from a run is taken for a place to fill.
        Ok(FRAME
            .replace("{about}", self.about)
            .replace("{drawn}", self.drawn)
            .replace("{heart}", self.heart)
            .replace("{body}", self.body)
            .replace("/*{style}*/", &[STYLE, self.style].concat())
            .replace("/*{script}*/", &[SCRIPT, self.script].concat())
            .replace("{data}", &data))
    }
}

/// JSON that cannot end or comment out the script element it stands in: `<` occurs in JSON only
/// inside strings, where its escape means the same.
fn embedded(value: &impl Serialize) -> serde_json::Result<String> {
    Ok(serde_json::to_string(value)?.replace('<', "\\u003c"))
}
