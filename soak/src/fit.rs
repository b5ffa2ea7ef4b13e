//! A straight line through what was measured, and how sure its slope is.
//!
//! Samples of a process resemble those before them: an allocator's cache that grew is still large at
//! the next one. To take them for independent would make the slope look far surer than it is. So:
//!
//! 1. The first eighth is left out: what is made once is made there.
//! 2. The rest is cut into up to sixteen blocks of equal length, and the line goes through their means by
//!    least squares. With s² = Σ residual² / (B − 2), the slope's variance is s² / Σ (x − x̄)². What a
//!    sample has in common with its neighbours within a block is thereby in the blocks' spread, where
//!    it belongs.
//! 3. What blocks still have in common with the next one is estimated by r, the lag-one correlation of
//!    the residuals. Residuals of a fitted line over B points understate it, by about (1 + 4r) / B
//!    (Kendall 1954), which is added. For an autoregressive process of that r the variance of the slope is
//!    (1 + r) / (1 − r) of what step 2 says, so the interval is wider by that factor's root. r is kept
//!    within 0 and 0.9: less would make the interval narrower on the word of sixteen blocks, and 0.95 is
//!    where they could no longer tell it from 1.
//! 4. The interval is of 99 %, by Student's t with B − 2 degrees of freedom. A run has some two hundred
//!    slopes; of those that are 0, one in two hundred is above its interval, and the budgets are for these.
//!
//! The tests below hold the interval against noise of each kind. What it does not hold for is a random
//! walk, which has no slope to be found: a resident set is near one, and has a budget.

use serde::{Deserialize, Serialize};

/// The most blocks, and the fewest that say anything.
const MOST: usize = 16;
const LEAST: usize = 8;

/// The fewest samples in a block.
const IN_A_BLOCK: usize = 2;

/// The largest correlation of neighbouring blocks that the interval allows for.
const CORRELATED: f64 = 0.9;

/// A line, in units of y per unit of x.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fit {
    /// The slope.
    pub slope: f64,
    /// The interval that the slope is in, with 99 % confidence.
    pub low: f64,
    /// Its other end.
    pub high: f64,
    /// The mean of the blocks.
    pub level: f64,
    /// The standard deviation of the blocks about the line.
    pub spread: f64,
    /// The lag-one correlation that the interval allows for.
    pub correlation: f64,
    /// How many blocks there were.
    pub blocks: usize,
}

/// The line through these points, in the order of x; `None` where there are too few to say anything.
pub fn fit(points: &[(f64, f64)]) -> Option<Fit> {
    let points = &points[points.len() / 8..];
    let count = MOST.min(points.len() / IN_A_BLOCK);
    if count < LEAST {
        return None;
    }
    let blocks: Vec<(f64, f64)> = (0..count)
        .map(|i| mean(&points[i * points.len() / count..(i + 1) * points.len() / count]))
        .collect();
    let (x, level) = mean(&blocks);
    let across: f64 = blocks.iter().map(|point| (point.0 - x).powi(2)).sum();
    if across == 0.0 {
        return None;
    }
    let together: f64 = blocks.iter().map(|p| (p.0 - x) * (p.1 - level)).sum();
    let slope = together / across;
    let residuals: Vec<f64> = blocks
        .iter()
        .map(|point| point.1 - level - slope * (point.0 - x))
        .collect();
    let squares: f64 = residuals.iter().map(|r| r * r).sum();
    let spread = (squares / (count - 2) as f64).sqrt();
    let correlation = correlation(&residuals, squares);
    let wider = ((1.0 + correlation) / (1.0 - correlation)).sqrt();
    let half = student(count - 2) * wider * spread / across.sqrt();
    Some(Fit {
        slope,
        low: slope - half,
        high: slope + half,
        level,
        spread,
        correlation,
        blocks: count,
    })
}

/// The 99.5th percentile of Student's t for so many degrees of freedom, of which there is one at least; from
/// fourteen on that of fourteen, which is more.
pub fn student(freedom: usize) -> f64 {
    const PERCENTILES: [f64; 14] = [
        63.657, 9.925, 5.841, 4.604, 4.032, 3.707, 3.499, 3.355, 3.250, 3.169, 3.106, 3.055, 3.012,
        2.977,
    ];
    PERCENTILES[freedom.clamp(1, PERCENTILES.len()) - 1]
}

/// The lag-one correlation, as far as the interval allows for it.
fn correlation(residuals: &[f64], squares: f64) -> f64 {
    if squares == 0.0 {
        return 0.0;
    }
    let pairs = residuals.windows(2).map(|pair| pair[0] * pair[1]);
    let r = pairs.sum::<f64>() / squares;
    (r + (1.0 + 4.0 * r) / residuals.len() as f64).clamp(0.0, CORRELATED)
}

fn mean(points: &[(f64, f64)]) -> (f64, f64) {
    let count = points.len() as f64;
    let sum = points
        .iter()
        .fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
    (sum.0 / count, sum.1 / count)
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const SAMPLES: usize = 256;

    /// Noise in which each sample keeps this share of the one before.
    fn noise(random: &mut ChaCha8Rng, kept: f64) -> Vec<f64> {
        let mut last = 0.0;
        let mut next = || {
            // A sum of twelve is as good as normal.
            let normal: f64 = (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0;
            last = kept * last + normal;
            last
        };
        // What it began with is forgotten.
        (0..200).for_each(|_| _ = next());
        (0..SAMPLES).map(|_| next()).collect()
    }

    fn over(values: impl IntoIterator<Item = f64>) -> Vec<(f64, f64)> {
        let points = values.into_iter().enumerate();
        points.map(|(i, y)| (10.0 * i as f64, y)).collect()
    }

    /// How many of a thousand intervals do not hold the slope.
    fn missed(kept: f64, slope: f64) -> usize {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        (0..1000)
            .filter(|_| {
                let points = over(noise(&mut random, kept));
                let points: Vec<_> = points.iter().map(|(x, y)| (*x, y + slope * x)).collect();
                let fit = fit(&points).unwrap();
                !(fit.low..=fit.high).contains(&slope)
            })
            .count()
    }

    /// Ten are the 1 % that a right interval misses; three standard deviations of that count are ten more.
    #[test]
    fn an_interval_holds_the_slope_of_independent_samples() {
        assert!(missed(0.0, 0.0) <= 20, "{}", missed(0.0, 0.0));
        assert!(missed(0.0, 0.01) <= 20);
    }

    /// Where samples resemble the one before, how much they do is uncertain too, and so some more are missed;
    /// with a memory longer than a block, twenty samples, most.
    #[test]
    fn an_interval_holds_the_slope_of_samples_that_resemble_each_other() {
        for (kept, most) in [(0.5, 30), (0.9, 50), (0.95, 80)] {
            let missed = missed(kept, 0.01);
            assert!(missed <= most, "{kept}: {missed}");
        }
    }

    /// What the blocks are for.
    #[test]
    fn samples_taken_for_independent_would_be_far_too_sure() {
        let naive = |points: &[(f64, f64)]| {
            let (x, y) = mean(points);
            let across: f64 = points.iter().map(|p| (p.0 - x).powi(2)).sum();
            let slope = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum::<f64>() / across;
            let rest = points.iter().map(|p| (p.1 - y - slope * (p.0 - x)).powi(2));
            let error = (rest.sum::<f64>() / (points.len() - 2) as f64 / across).sqrt();
            slope.abs() > 2.6 * error
        };
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let wrong = (0..200).filter(|_| naive(&over(noise(&mut random, 0.9))));
        assert!(wrong.count() > 50);
    }

    #[test]
    fn a_step_now_and_then_is_a_slope() {
        for steps in [4, 8, 10, 50] {
            let stairs = (0..SAMPLES).map(|i| (i * steps / SAMPLES) as f64);
            let fit = fit(&over(stairs)).unwrap();
            let slope = steps as f64 / (10.0 * SAMPLES as f64);
            assert!(fit.low > 0.0, "{steps}: {fit:?}");
            assert!((fit.low..=fit.high).contains(&slope), "{steps}: {fit:?}");
        }
    }

    #[test]
    fn a_level_has_no_slope_and_a_line_has_its_own() {
        let level = fit(&over(vec![7.0; SAMPLES])).unwrap();
        assert_eq!((level.low, level.high, level.level), (0.0, 0.0, 7.0));
        let line = fit(&over((0..SAMPLES).map(|i| 5.0 * i as f64))).unwrap();
        assert!((line.slope - 0.5).abs() < 1e-9, "{line:?}");
        assert!(line.high - line.low < 1e-9, "{line:?}");
    }

    #[test]
    fn one_jump_early_on_is_what_is_made_once() {
        let jump = (0..SAMPLES).map(|i| if i < 20 { 0.0 } else { 1e6 });
        assert_eq!(fit(&over(jump)).unwrap().slope, 0.0);
    }

    #[test]
    fn few_samples_say_nothing() {
        assert_eq!(fit(&[]), None);
        assert_eq!(fit(&over(vec![1.0; 17])), None);
        assert!(fit(&over(vec![1.0; 19])).is_some());
        assert_eq!(fit(&[(1.0, 2.0); 100]), None);
    }
}
