//! Several ways to search an order, each for a share of the budget, because a way that fails on one
//! history is quick on another. Where answers depend on values being different, two cheaper questions
//! come first. If the part cannot be explained without those answers, it cannot be with them. If an order
//! is found although choices were dropped that might have been needed, it is an order all the same. For
//! values that grow and are written the candidates are first tried by what pending reads found, then by
//! their returns. Left out: clocks. A share is a number of looks at a list, so an answer is the same on
//! every machine.

use crate::history::Part;
use crate::plan::Plan;
use crate::search::Search;

/// What the search came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The sources of tasks in an order that explains every answer.
    Order(Vec<usize>),
    /// There is none. Everything that returned before this position can be explained.
    None { reached: i64 },
    /// The budget is used up.
    Budget,
}

/// How to go about it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Those that have to return first come first.
    Steady,
    /// Those come first that make what a pending read found, or a beginning of it.
    Keen,
    /// Choices are dropped as if nobody shunned a value, so that finding nothing means nothing.
    Bold,
}

/// The part of the budget that goes to cheaper questions: one of so many.
const SHARE: u64 = 4;

/// Searches an order. Takes what it costs out of `budget`.
pub(crate) fn search(part: &Part, budget: &mut u64) -> Found {
    let plan = Plan::of(part);
    if let Some(reached) = plan.hopeless() {
        return Found::None { reached };
    }
    if plan.mixed {
        return match within(*budget / 2, &plan, Way::Keen, budget) {
            Found::Budget => run(&plan, Way::Steady, budget),
            found => found,
        };
    }
    if plan.grows || plan.tasks.iter().all(|task| task.shuns.is_none()) {
        return run(&plan, Way::Steady, budget);
    }
    let each = *budget / SHARE;
    let relaxed = Plan::relaxed(part);
    let impossible = match relaxed.hopeless() {
        Some(_) => true,
        None => matches!(within(each, &relaxed, Way::Steady, budget), Found::None { .. }),
    };
    if impossible {
        return Found::None { reached: i64::MIN };
    }
    match within(each, &plan, Way::Bold, budget) {
        Found::Order(order) => Found::Order(order),
        _ => run(&plan, Way::Steady, budget),
    }
}

/// Searches for a share of the budget, and leaves the rest of it.
fn within(share: u64, plan: &Plan, way: Way, budget: &mut u64) -> Found {
    let mut left = share;
    let found = run(plan, way, &mut left);
    *budget -= share - left;
    found
}

fn run(plan: &Plan, way: Way, budget: &mut u64) -> Found {
    let mut search = Search::new(plan, way);
    match search.run(budget) {
        Some(true) => Found::Order(search.order()),
        Some(false) => Found::None { reached: search.reached },
        None => {
            *budget = 0;
            Found::Budget
        }
    }
}
