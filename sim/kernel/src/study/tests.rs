//! Studies are read, multiplied out, summed up and judged as their file says; wrong ones are refused with
//! place and nearest name. Statistics are held against brute force over the same resamples, and intervals
//! against the share of samples in which they must hold the truth.

use proptest::prelude::*;

use super::Study;
use super::advice::{Cell, Table};
use super::column::{Column, figure, shown_in};
use super::design::spoken;
use super::statistics::{RESAMPLES, Summary, difference, removed};
use crate::check::Unit;
use crate::doc::{Doc, Problem};
use crate::registry::Registry;

const SOUND: &str = r#"
title = "T"
scenario = "s"
seeds = "0..6"
set = ["duration=5s"]
[[param]]
name = "payload"
keys = ["a.value"]
values = ["1KB", "1MB"]
[[param]]
name = "wait"
keys = ["b.low", "c"]
values = ["150ms..300ms", "1s..3s"]
[measures]
outage = "no_leader_max"
needless = "needless_elections / hour"
[[constraint]]
mean = "outage <= 2s"
[pareto]
minimise = ["outage", "needless"]
[recommend]
by = ["payload"]
minimise = "needless"
against = { wait = "150ms..300ms" }
price = "outage"
gain = "needless"
[map]
x = "wait"
y = "payload"
measure = "outage"
"#;

fn read(text: &str) -> Result<Study, Vec<Problem>> {
    let measures = vec![("no_leader_max", ""), ("needless_elections", "")];
    let registry = Registry { measures, ..Registry::default() };
    Study::read("t", &Doc::parse("t.toml", text, "")?, &registry)
}

fn words(list: &[&[&str]]) -> Vec<Vec<String>> {
    list.iter().map(|cell| cell.iter().map(|w| (*w).to_string()).collect()).collect()
}

#[test]
fn a_grid_is_all_combinations_and_what_is_set_is_one_value() {
    let study = read(SOUND).unwrap();
    let (low, high) = ("150ms..300ms", "1s..3s");
    let all = words(&[&["1KB", low], &["1KB", high], &["1MB", low], &["1MB", high]]);
    assert_eq!(study.cells(&[]), all);
    let fixed = [(1, "5s".to_string()), (1, "7s".to_string())];
    assert_eq!(study.cells(&fixed), words(&[&["1KB", "7s"], &["1MB", "7s"]]));
    let both = [(0, "2MB".to_string()), (1, "7s".to_string())];
    assert_eq!(study.cells(&both), words(&[&["2MB", "7s"]]));
    let sets = study.sets_of(&all[1]);
    let sets: Vec<(&str, &str)> = sets.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let expected = [("duration", "5s"), ("a.value", "1KB"), ("b.low", high), ("c", high)];
    assert_eq!(sets, expected);
    let columns: Vec<&str> = study.columns.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(columns, ["outage", "needless"], "in the order of the file");
}

#[test]
fn a_list_is_what_it_says_and_setting_leaves_its_first_cell() {
    let text = "title = 'T'\nscenario = 's'\n[[param]]\nname = 'p'\nkeys = ['a']\n[[param]]\n\
                name = 'q'\nkeys = ['b']\n[[cell]]\np = 1\nq = 2\n[[cell]]\np = 3\nq = 4\n\
                [measures]\nm = 'no_leader_max'\n";
    let study = read(text).unwrap();
    assert_eq!(study.cells(&[]), words(&[&["1", "2"], &["3", "4"]]));
    assert_eq!(study.cells(&[(1, "9".to_string())]), words(&[&["1", "9"]]));
}

#[test]
fn what_is_wrong_is_told_with_its_place_and_the_nearest_name() {
    let cases = [
        ("no_leader_max", "no_leader_mx", "15:10", "`no_leader_max`"),
        ("/ hour", "/ day", "16:12", "/ hour"),
        ("mean = \"outage", "mean = \"outtage", "18:8", "`outage`"),
        ("<= 2s", "<= soon", "18:8", "soon"),
        ("outage <= 2s", "needless <= 2s", "18:8", "a plain number"),
        ("\"1KB\", \"1MB\"", "\"1KB\", \"1KB\"", "9:10", "twice"),
        ("by = [\"payload\"]", "by = [\"paylod\"]", "22:6", "`payload`"),
        ("{ wait = \"150ms..300ms\" }", "{ wait = \"9s\" }", "24:1", "no cell"),
        ("x = \"wait\"", "x = \"payload\"", "29:5", "the same"),
        ("seeds = \"0..6\"", "seeds = \"6..0\"", "4:9", "range of seeds"),
        ("scenario = \"s\"", "scenario = \"s.toml\"", "3:12", "not a path"),
        ("name = \"payload\"", "name = \"wait\"", "10:1", "two parameters"),
        ("values = [\"1KB\", \"1MB\"]", "", "6:1", "values"),
        ("title =", "titel =", "2:9", "`title`"),
    ];
    for (old, new, place, says) in cases {
        let problems = read(&SOUND.replacen(old, new, 1)).expect_err(new);
        let told =
            problems.iter().any(|p| p.place == format!("t.toml:{place}") && p.text.contains(says));
        assert!(told, "{new}: {problems:?}");
    }
}

fn table(study: &Study, outage: [[f64; 6]; 4], needless: [[f64; 6]; 4]) -> Table {
    let some = |values: &[f64; 6]| values.iter().map(|v| Some(*v)).collect::<Vec<_>>();
    let cells = study.cells(&[]).into_iter().zip(outage.iter().zip(&needless));
    let cells = cells.map(|(p, (o, n))| Cell::of(p, vec![some(o), some(n)])).collect();
    Table { cells, units: vec![Some(Unit::Time), Some(Unit::Count)] }
}

#[test]
fn the_sentence_has_margin_price_and_gain() {
    let study = read(SOUND).unwrap();
    let low = [100.0, 110.0, 120.0, 130.0, 140.0, 150.0];
    let (long, many) = (low.map(|v| v + 160.0), [9.0, 10.0, 11.0, 10.0, 9.0, 11.0]);
    let (one, too_long) = ([1.0, 0.0, 1.0, 0.0, 1.0, 0.0], low.map(|v| v + 3_000.0));
    let table = table(&study, [low, long, low, too_long], [many, one, many, one]);
    let advice = table.advice(&study);
    assert_eq!(advice.len(), 2, "one for each payload");
    assert_eq!(advice[0].cell, Some(1));
    assert_eq!(
        advice[0].text,
        "payload 1 KB: wait 1-3 s. The next best, wait 150-300 ms, has +9.50 /h [8.67, 10.3] of \
         needless. wait 150-300 ms to 1-3 s costs +160 ms [160, 160] of outage and removes 95 % \
         [91, 98] of needless."
    );
    assert_eq!(advice[1].cell, Some(2), "a constraint excludes the other");
    assert!(advice[1].text.contains("wait 150-300 ms. The row to"), "{}", advice[1].text);
    assert_eq!(table.front(&study), [true, true, true, false]);
    assert_eq!(table.broken(&study, 3)[0].text, "outage <= 2s");
}

#[test]
fn a_bound_is_in_the_unit_of_its_column() {
    for (bound, fits) in [("2s", true), ("0", true), ("2000", false), ("2MB", false)] {
        let study = read(&SOUND.replace("<= 2s", &format!("<= {bound}"))).unwrap();
        let told = table(&study, [[1.0; 6]; 4], [[1.0; 6]; 4]).mismatch(&study);
        assert_eq!(told.is_none(), fits, "{bound}: {told:?}");
    }
}

#[test]
fn what_seeds_cannot_tell_is_said() {
    let study = read(SOUND).unwrap();
    let low = [100.0, 110.0, 120.0, 130.0, 140.0, 150.0];
    let shifted = [101.0, 108.0, 121.0, 129.0, 142.0, 149.5];
    let (none, rare) = ([0.0; 6], [0.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
    let table = table(&study, [low, shifted, low, low], [rare, none, none, none]);
    let advice = table.advice(&study);
    assert!(advice[0].text.contains("and the interval holds 0"), "{}", advice[0].text);
    assert!(advice[0].text.contains("makes no difference to outage"), "{}", advice[0].text);
    assert!(advice[1].text.contains("is this cell"), "the earlier of equals");
    let nobody = Table {
        cells: vec![Cell::of(words(&[&["1KB", "x"]]).remove(0), vec![vec![], vec![]])],
        units: vec![None, None],
    };
    let advice = nobody.advice(&study);
    assert_eq!((advice[0].cell, nobody.front(&study)), (None, vec![false]));
    assert_eq!(advice[0].text, "payload 1 KB: needless was measured in no run.");
    assert!(nobody.broken(&study, 0).is_empty(), "what was not measured breaks nothing");
}

#[test]
fn why_none_is_recommended_is_told_apart() {
    let study = read(SOUND).unwrap();
    let one = |outage: Option<f64>, needless: Option<f64>| Table {
        cells: vec![Cell::of(
            words(&[&["1KB", "x"]]).remove(0),
            vec![vec![outage], vec![needless]],
        )],
        units: vec![Some(Unit::Time), Some(Unit::Count)],
    };
    let told = |table: Table| table.advice(&study).remove(0).text;
    assert!(told(one(Some(1.0), None)).ends_with(" needless was measured in no run."));
    assert!(told(one(None, Some(1.0))).ends_with(" outage was measured in no run."));
    assert!(told(one(Some(3_000.0), Some(1.0))).ends_with(" no cell keeps the constraints."));
    assert!(told(one(Some(1.0), Some(1.0))).ends_with(" the only cell."));
}

#[test]
fn an_interval_beyond_a_bound_is_said() {
    let study = read(SOUND).unwrap();
    let (sure, wide) = ([100.0; 6], [0.0, 3_600.0, 0.0, 3_600.0, 0.0, 3_600.0]);
    let (few, many) = ([1.0; 6], [9.0; 6]);
    let advice = table(&study, [sure, wide, sure, sure], [many, few, few, many]).advice(&study);
    let told = "These seeds cannot tell that it keeps outage <= 2s: its outage is 1800 ms [";
    assert!(advice[0].text.contains(told), "{}", advice[0].text);
    assert!(!advice[1].text.contains("cannot tell that"), "{}", advice[1].text);
}

#[test]
fn one_seed_has_no_interval() {
    let study = read(SOUND).unwrap();
    let values = [(100.0, 9.0), (160.0, 1.0), (100.0, 9.0), (160.0, 1.0)];
    let cells = study.cells(&[]).into_iter().zip(values);
    let cells = cells.map(|(p, (o, n))| Cell::of(p, vec![vec![Some(o)], vec![Some(n)]])).collect();
    let table = Table { cells, units: vec![Some(Unit::Time), Some(Unit::Count)] };
    let text = table.advice(&study).remove(0).text;
    assert!(text.contains("costs +60.0 ms of outage and removes 89 % of needless"), "{text}");
    assert!(!text.contains('['), "{text}");
}

#[test]
fn numbers_and_values_for_people() {
    assert_eq!(
        [0.0, -0.0001, 0.0123, 1.0, 9.996, 12.34, 99.96, 1234.5].map(figure),
        ["0", "0.000", "0.012", "1.00", "10.0", "12.3", "100", "1234"]
    );
    assert_eq!(shown_in("bytes/h", 2e6), ("MB/h".to_string(), 1e6));
    assert_eq!(shown_in("ms/h", 34_000.0), ("s/h".to_string(), 1e3));
    assert_eq!(
        (shown_in("ms/h", 34.0).0, shown_in("ms", 34_000.0).0),
        ("ms/h".into(), "ms".into())
    );
    assert_eq!((shown_in("1/h", 3.0).0, shown_in("count", 3.0).0), ("/h".into(), String::new()));
    for (value, said) in [
        ("150ms..300ms", "150-300 ms"),
        ("900ms..2s", "900 ms to 2 s"),
        ("1MB", "1 MB"),
        ("100", "100"),
        ("same", "same"),
        ("p0 3ms, p100 4ms", "p0 3ms, p100 4ms"),
    ] {
        assert_eq!(spoken(value), said);
    }
    let column = Column::parse("c", "m / hour").unwrap();
    assert_eq!(column.number((3, Unit::Count), 10_000_000_000), Some(1_080.0));
    assert_eq!(
        (column.number((3, Unit::Count), 0), column.unit(Unit::Count)),
        (None, "1/h".into())
    );
}

/// The quantile by its definition: the least value that so large a share of all are not above.
fn brute_quantile(values: &[f64], ppm: usize) -> f64 {
    let enough = |v: &&f64| {
        let below = values.iter().filter(|w| *w <= *v).count();
        below * 1_000_000 >= ppm * values.len()
    };
    values.iter().filter(enough).copied().fold(f64::INFINITY, f64::min)
}

#[test]
fn an_interval_covers_what_it_should() {
    // Of the means of samples of a known population about 95 in 100 intervals hold its mean.
    let draws = crate::draw::Draws::new(1);
    let mut covered = 0;
    for trial in 0..300 {
        let mut rng = draws.stream("coverage", trial, 0);
        let sample: Vec<f64> = (0..40).map(|_| rng.below(1_000) as f64).collect();
        let [low, high] = Summary::of(&sample).unwrap().ci;
        covered += i32::from(low <= 499.5 && 499.5 <= high);
    }
    // The binomial's own spread is 3.8; percentile intervals of 40 values are a little short.
    assert!((270..=294).contains(&covered), "{covered} of 300");
}

proptest! {
    #[test]
    fn a_summary_is_what_brute_force_says(values in prop::collection::vec(0u32..50, 1..60)) {
        let values: Vec<f64> = values.into_iter().map(f64::from).collect();
        let s = Summary::of(&values).unwrap();
        prop_assert_eq!(s.mean, values.iter().sum::<f64>() / values.len() as f64);
        let shares = [100_000, 500_000, 900_000, 990_000, 999_000];
        for (quantile, ppm) in [s.p10, s.p50, s.p90, s.p99, s.p999].into_iter().zip(shares) {
            prop_assert_eq!(quantile, brute_quantile(&values, ppm));
        }
        prop_assert_eq!(s.max, values.iter().copied().fold(0.0, f64::max));
        let [low, high] = s.ci;
        prop_assert!(low <= s.mean + 1e-9 && s.mean <= high + 1e-9);
        prop_assert_eq!(Summary::of(&values), Some(s));
    }

    /// The interval is that of resamples which were drawn and sorted the plain way.
    #[test]
    fn an_interval_is_that_of_its_resamples(values in prop::collection::vec(0u32..50, 1..30)) {
        let values: Vec<f64> = values.into_iter().map(f64::from).collect();
        let indices = super::statistics::indices(values.len());
        let mut means: Vec<f64> = indices
            .iter()
            .map(|r| r.iter().map(|i| values[*i]).sum::<f64>() / values.len() as f64)
            .collect();
        prop_assert_eq!(means.len() as u64, RESAMPLES);
        means.sort_by(f64::total_cmp);
        prop_assert_eq!(Summary::of(&values).unwrap().ci, [means[24], means[974]]);
    }

    /// Noise that a seed brings to both cells leaves no width in their difference.
    #[test]
    fn pairs_cancel_what_they_share(noise in prop::collection::vec(0u32..1_000, 2..40)) {
        let pairs: Vec<(f64, f64)> =
            noise.iter().map(|n| (f64::from(*n), f64::from(*n) + 7.0)).collect();
        let gap = difference(&pairs).unwrap();
        prop_assert_eq!((gap.value, gap.low, gap.high), (7.0, 7.0, 7.0));
        let half = |n: &u32| (f64::from(*n) + 1.0, (f64::from(*n) + 1.0) / 2.0);
        let halves: Vec<(f64, f64)> = noise.iter().map(half).collect();
        let share = removed(&halves).unwrap();
        prop_assert!([share.value, share.low, share.high].iter().all(|v| (v - 50.0).abs() < 1e-9));
    }

    #[test]
    fn no_damaged_file_panics(at in any::<prop::sample::Index>(), cut in 0usize..12, put in ".{0,3}") {
        let mut text: Vec<char> = SOUND.chars().collect();
        let at = at.index(text.len());
        text.splice(at..(at + cut).min(SOUND.len()), put.chars());
        if let Err(problems) = read(&text.into_iter().collect::<String>()) {
            prop_assert!(problems.iter().all(|p| !p.text.is_empty() && !p.place.is_empty()));
        }
    }
}
