//! The strategy against judges whose answer is known: what matters is left, all else goes, and what a
//! judge cannot tell apart is made plain. Nothing runs here; how candidates are run is the command's
//! business.

use proptest::prelude::*;

use super::*;
use crate::registry::Params;

/// Fails if these lines (by `origin.0`) and operations are all there; counts its runs.
struct Knows {
    lines: BTreeSet<u64>,
    ops: BTreeSet<Op>,
    all: BTreeSet<Op>,
    width: usize,
    runs: usize,
    budget: usize,
    /// A line that matters too, under all weaves but one: (line, weave).
    unless: Option<(u64, u64)>,
}

impl Knows {
    fn seen(&self, case: &Case) -> Option<Seen> {
        let lines: BTreeSet<u64> = case.plan.exact.iter().map(|line| line.origin.0).collect();
        let asked: BTreeSet<Op> =
            self.all.iter().filter(|op| !case.plan.mask.skips(op.0, op.1)).copied().collect();
        let besides =
            self.unless.is_none_or(|(n, weave)| weave == case.weave || lines.contains(&n));
        let fails = self.lines.is_subset(&lines) && self.ops.is_subset(&asked);
        (fails && besides).then(|| Seen {
            case: case.clone(),
            asked,
            load: case.plan.load.unwrap_or(1_000_000_000),
            virtual_ns: 2_000_000_000,
            digest: String::new(),
        })
    }
}

impl Judge for Knows {
    fn width(&self) -> usize {
        self.width
    }

    fn judge(&mut self, cases: &[Case]) -> Option<Vec<Option<Seen>>> {
        self.runs += cases.len();
        (self.runs <= self.budget).then(|| cases.iter().map(|case| self.seen(case)).collect())
    }

    fn events(&mut self, _: &Case) -> Vec<(usize, When)> {
        Vec::new()
    }

    fn improved(&mut self, _: &'static str, _: &Seen) {}
}

fn line(n: u64) -> Fired {
    Fired {
        kind: "crash".into(),
        params: Params::new(),
        hosts: vec!["n1".into(), "n2".into()],
        at: 1_234_567_890,
        trigger: String::new(),
        lasts: 765_432_100,
        survivors: Vec::new(),
        origin: (n, 1),
        when: None,
    }
}

fn start(judge: &Knows, lines: u64) -> Seen {
    let plan = Plan { exact: (0..lines).map(line).collect(), ..Plan::default() };
    judge.seen(&Case { plan, weave: 0 }).expect("the original fails")
}

fn ops(n: u64) -> BTreeSet<Op> {
    (0..n).map(|op| (op % 7, op)).collect()
}

fn left(seen: &Seen) -> (Vec<u64>, BTreeSet<Op>) {
    (seen.case.plan.exact.iter().map(|line| line.origin.0).collect(), seen.asked.clone())
}

proptest! {
    #[test]
    fn exactly_what_matters_is_left_however_many_run_at_once(
        lines in prop::collection::btree_set(0u64..30, 0..6),
        chosen in prop::collection::btree_set(0u64..200, 0..9),
        width in 1usize..5,
    ) {
        let needed = chosen.iter().map(|op| (op % 7, *op)).collect::<BTreeSet<Op>>();
        let of = |width| Knows {
            lines: lines.clone(), ops: needed.clone(), all: ops(200),
            width, runs: 0, budget: 100_000, unless: None,
        };
        let (mut one, mut many) = (of(1), of(width));
        let (first, seen) = (start(&one, 30), start(&many, 30));
        let (a, b) = (shrink(first, &mut one), shrink(seen, &mut many));
        let wanted: Vec<u64> = lines.into_iter().collect();
        prop_assert_eq!(left(&a), (wanted, needed));
        prop_assert_eq!(&a.case.plan.exact, &b.case.plan.exact);
        prop_assert_eq!(&a.case.plan.mask, &b.case.plan.mask);
        prop_assert!(a.case.plan.exact.iter().all(|l| l.hosts.len() == 1 && l.lasts <= 1_000_000));
    }

    #[test]
    fn whatever_the_budget_what_comes_out_fails(budget in 0usize..300) {
        let lines = BTreeSet::from([3, 9]);
        let all = ops(200);
        let ops = BTreeSet::from([(5, 5), (0, 70)]);
        let mut judge =
            Knows { lines, ops, all, width: 2, runs: 0, budget, unless: None };
        let seen = start(&judge, 30);
        let best = shrink(seen, &mut judge);
        prop_assert!(judge.seen(&best.case).is_some());
    }
}

/// Under weave 0 the plan fails however it is written; under others only if its line waits for an event.
struct Weaves;

const AFTER: Time = 1_234_567;

impl Judge for Weaves {
    fn width(&self) -> usize {
        2
    }

    fn judge(&mut self, cases: &[Case]) -> Option<Vec<Option<Seen>>> {
        let fails = |case: &Case| match case.plan.exact.as_slice() {
            [line] => case.weave == 0 || line.when.is_some(),
            _ => false,
        };
        let seen = |case: &Case| {
            fails(case).then(|| Seen {
                case: case.clone(),
                load: case.plan.load.unwrap_or(1_000_000_000),
                virtual_ns: 2_000_000_000,
                ..Seen::default()
            })
        };
        Some(cases.iter().map(seen).collect())
    }

    fn events(&mut self, case: &Case) -> Vec<(usize, When)> {
        let outcome = |line: &Fired| {
            let (word, on) = (line.trigger.split_once(" #")?.0.to_string(), Some("n2".to_string()));
            Some(When::Event { word, on, nth: 3, after: AFTER })
        };
        let lines = case.plan.exact.iter().enumerate();
        lines.filter_map(|(i, line)| Some((i, outcome(line)?))).collect()
    }

    fn improved(&mut self, _: &'static str, _: &Seen) {}
}

#[test]
fn events_are_tried_while_a_line_still_knows_what_it_waited_for() {
    let trigger = "synced #3 + 1.234 ms (on n2)".to_string();
    let plan = Plan { exact: vec![Fired { trigger, ..line(0) }], ..Plan::default() };
    let case = Case { plan, weave: 0 };
    let start = Seen { case, load: 1_000_000_000, virtual_ns: 2_000_000_000, ..Seen::default() };
    let best = shrink(start, &mut Weaves);
    let (word, on) = ("synced".to_string(), Some("n2".to_string()));
    let when = When::Event { word, on, nth: 3, after: 0 };
    assert_eq!(best.case.plan.exact[0].when, Some(when), "an event, and then a rounder delay");
}

#[test]
fn a_plan_that_is_stuck_goes_on_under_another_weave() {
    let all = ops(40);
    let lines = BTreeSet::from([1, 5, 7]);
    let (ops, unless) = (BTreeSet::new(), Some((9, 3)));
    let mut judge = Knows { lines, ops, all, width: 1, runs: 0, budget: 100_000, unless };
    let seen = start(&judge, 30);
    let best = shrink(seen, &mut judge);
    assert_eq!(left(&best), (vec![1, 5, 7], BTreeSet::new()));
    assert_eq!(best.case.weave, 3);
}
