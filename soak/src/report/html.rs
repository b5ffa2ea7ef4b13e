//! `report.html`, a page as the conformance report's. Its script draws the curves from an embedded JSON
//! document.

use anyhow::Context as _;
use emily_conformance::report::Page;
use serde::Serialize;

use super::Report;
use crate::harness::Harness;
use crate::metric::{Metric, Unit};

const PAGE: Page<'_> = Page {
    about: "soak",
    drawn: "curves",
    heart: "curves",
    body: include_str!("page.html"),
    style: include_str!("page.css"),
    script: include_str!("page.js"),
};

/// What the page's script reads.
#[derive(Serialize)]
struct Data<'a> {
    report: &'a Report,
    harnesses: Vec<Named>,
    metrics: Vec<Named>,
}

/// A name and what it means.
#[derive(Serialize)]
struct Named {
    name: String,
    label: &'static str,
    unit: &'static str,
}

/// The whole page.
pub(super) fn page(report: &Report) -> anyhow::Result<String> {
    let harness = |harness: Harness| Named {
        name: harness.to_string(),
        label: harness.doc(),
        unit: "",
    };
    let metric = |metric: Metric| Named {
        name: metric.to_string(),
        label: metric.label(),
        unit: match metric.unit() {
            Unit::Bytes => "bytes",
            Unit::Count => "count",
            Unit::Micros => "micros",
        },
    };
    let data = Data {
        report,
        harnesses: Harness::all().map(harness).collect(),
        metrics: Metric::all().map(metric).collect(),
    };
    let page = PAGE.with(&data);
    page.context("cannot write the report's data")
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn a_fault_cannot_leave_its_script_element() {
        let hostile = "</script><script>alert(1)</script><!-- {data} /*{script}*/";
        let page = page(&sample::report(1e6, 0.0, hostile).unwrap()).unwrap();
        assert!(!page.contains("<script>alert"));
        let open = r#"<script type="application/json" id="data">"#;
        let (_, rest) = page.split_once(open).unwrap();
        let (json, _) = rest.split_once("</script>").unwrap();
        let data: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(data["report"]["runs"][1]["reasons"][0], hostile);
    }

    #[test]
    fn nothing_outside_the_file_is_needed() {
        let page = page(&sample::report(1e6, 0.0, "a fault").unwrap()).unwrap();
        // The name of SVG is one, and nothing is loaded by it.
        let page = page.replace("http://www.w3.org/2000/svg", "");
        for outside in ["http://", "https://", "src=", "@import", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(page.contains(r#"name="viewport""#));
    }
}
