//! What the operating system says of this process.

use std::collections::BTreeMap;

use crate::metric::Metric;

/// Resident bytes, threads and open files, as far as this system tells.
#[cfg(target_os = "linux")]
pub fn measure() -> BTreeMap<Metric, f64> {
    let mut values = BTreeMap::new();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    for line in status.lines() {
        let mut words = line.split_whitespace();
        let number = |word: Option<&str>| word.and_then(|word| word.parse::<f64>().ok());
        let found = match words.next() {
            Some("VmRSS:") => number(words.next()).map(|kib| (Metric::Resident, 1024.0 * kib)),
            Some("Threads:") => number(words.next()).map(|count| (Metric::Threads, count)),
            _ => None,
        };
        values.extend(found);
    }
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        // Looking has one open itself.
        values.insert(Metric::Handles, files.count().saturating_sub(1) as f64);
    }
    values
}

/// Nothing: other systems tell only by calls into C.
#[cfg(not(target_os = "linux"))]
pub fn measure() -> BTreeMap<Metric, f64> {
    BTreeMap::new()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn an_open_file_and_a_thread_are_counted() {
        let before = measure();
        assert!(before[&Metric::Resident] > 1e6);
        let file = std::fs::File::open("/proc/self/status").unwrap();
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || stopped.recv());
        // Other tests open and start some as well.
        let between = measure();
        assert!(between[&Metric::Handles] >= 1.0 && between[&Metric::Threads] >= 2.0);
        drop((file, stop));
        assert!(thread.join().unwrap().is_err());
    }
}
