//! The pages of both reports in a browser without a window, where there is one: they are clicked, hovered and
//! filtered by `pages.js`, at the width of a desk's screen and of a phone's.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::process::Command;

use emily_conformance::outcome::{Calls, LayerState, Outcome, TrialResult};
use emily_conformance::report as conformance;
use emily_soak::report::sample;
use libtest_mimic::{Arguments, Failed, Trial};

/// Writes a report into a folder.
type Write = fn(&Path) -> anyhow::Result<()>;

/// Names that Chromium goes by.
const NAMES: [&str; 4] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
];

/// Widths of a page, in pixels.
const WIDTHS: [(&str, u32); 2] = [("desk", 1280), ("phone", 390)];

fn main() {
    let arguments = Arguments::from_args();
    let browser = browser();
    if browser.is_none() {
        println!(
            "not run: the reports' pages: none of {} is on the PATH",
            NAMES.join(", ")
        );
    }
    let pages: [(&str, Write); 2] = [("conformance", write_conformance), ("soak", write_soak)];
    let trials = pages.into_iter().flat_map(|(page, write)| {
        let browser = &browser;
        WIDTHS.map(|(screen, width)| {
            let program = browser.clone().unwrap_or_default();
            let run = move || check(&program, page, write, width);
            Trial::test(format!("{page}::{screen}"), run).with_ignored_flag(browser.is_none())
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}

fn browser() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let mut places = NAMES
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    places.find(|place| place.is_file())
}

/// Has the browser load the page in a frame of this width, and `pages.js` try it.
fn check(browser: &Path, page: &str, write: Write, width: u32) -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    write(folder.path())?;
    let text = std::fs::read_to_string(folder.path().join("report.html"))?;
    let listening = "<head><script>window.thrown = []; \
                     addEventListener('error', (event) => window.thrown.push(event.message));</script>";
    let text = text.replacen("<head>", listening, 1);
    // In an attribute, these two characters alone would end or change it.
    let document = text.replace('&', "&amp;").replace('"', "&quot;");
    let outer = format!(
        "<!doctype html><meta charset=utf-8><body style=\"margin:0\">\
         <iframe srcdoc=\"{document}\" style=\"border:0;width:{width}px;height:900px\"></iframe>\
         <pre id=found></pre><script>const PAGE = {page:?};\n{}</script>",
        include_str!("pages.js")
    );
    let file = folder.path().join("outer.html");
    std::fs::write(&file, outer)?;
    let output = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--window-size=1400,1000",
        ])
        .args(["--virtual-time-budget=20000", "--dump-dom"])
        .arg(format!(
            "--user-data-dir={}",
            folder.path().join("profile").display()
        ))
        .arg(format!("file://{}", file.display()))
        .output()?;
    let told = String::from_utf8_lossy(&output.stdout);
    let found = told
        .split_once("<pre id=\"found\">")
        .and_then(|(_, rest)| rest.split_once("</pre>"))
        .map(|(found, _)| found)
        .ok_or_else(|| format!("the browser told nothing: {}", output.status))?;
    match found.strip_prefix("tried ") {
        Some(count) if count.trim().parse::<u32>().is_ok_and(|count| count > 5) => Ok(()),
        _ => Err(found.to_owned().into()),
    }
}

fn write_soak(folder: &Path) -> anyhow::Result<()> {
    sample::report(5e6, 0.0, "other bits, first at byte 3 of 1024")?.write(folder)
}

/// A report of four ops on two layers, of which one trial failed.
fn write_conformance(folder: &Path) -> anyhow::Result<()> {
    let mut report = emily_conformance::outcome::Report::default();
    for layer in ["oracle", "native"] {
        report.layers.push(LayerState {
            layer: layer.to_owned(),
            device: "cpu".to_owned(),
            ran: true,
            start_millis: 0.0,
            reason: None,
            remedy: None,
        });
        for op in ["add", "exp", "sum", "a_name_of_an_op_that_is_rather_long"] {
            for dtype in ["u8", "s32", "f16", "bf16", "f32", "f64", "c64"] {
                let failed = (layer, op, dtype) == ("native", "exp", "f16");
                report.trials.push(TrialResult {
                    name: format!("{layer}::family::{op}::case::{dtype}"),
                    layer: layer.to_owned(),
                    op: op.to_owned(),
                    case: "case".to_owned(),
                    dtype: dtype.to_owned(),
                    device: "cpu".to_owned(),
                    outcome: if failed {
                        Outcome::Failed
                    } else {
                        Outcome::Passed
                    },
                    checked: 10,
                    worst: Some(1.0),
                    allowed: Some("ulp(4)".to_owned()),
                    allowed_worst: Some(4.0),
                    unit: "ulp".to_owned(),
                    calls: Calls::default(),
                    refusals: 0,
                    failed: u64::from(failed),
                    millis: 0.25,
                    judging_millis: 0.1,
                    message: failed.then(|| "1 of 10 elements".to_owned()),
                });
            }
        }
    }
    conformance::write(folder, &report)
}
