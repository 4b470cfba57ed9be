//! The few lines of a run that matter: at most twenty, each with what every node was at that moment.
//!
//! A failure's story is what led to it: the lines worth telling up to the violated claim, and that line
//! itself. An illness is told around the first election after there had been a leader, any other run around
//! the first fault; without either, it is how the run ended. Which host stands for election the marks say,
//! so no node's words are known here. The blackout at the end is every run's and nobody's story.

use std::collections::BTreeSet;

use host::Weight;
use kernel::outcome::{Line, Violation};

use crate::terminal::{Paint, instant, legible};

/// Lines of a story at most.
pub const LINES_MAX: usize = 20;
/// Of a failure's story of that length, how many are the culprit's own, however long ago.
const OWN_MAX: usize = 8;
/// Of any other story of that length, how many lead up to an election, and to a fault.
const BEFORE_ELECTION: usize = 9;
const BEFORE_FAULT: usize = 5;
/// Up to so many nodes have a wide column each.
const WIDE_MAX: usize = 9;
/// Longer heads push the marks aside instead of widening every line.
const HEAD_MAX: usize = 44;

/// Where the legend begins.
pub const LEGEND_AT: usize = 23;
const LEGEND: &str = ". follower   C candidate   L leader   ~ paused or stalled   # down";

/// The lines to tell, by index; the second list are those to be marked.
#[derive(Debug, PartialEq, Eq)]
pub struct Choice {
    /// In order.
    pub lines: Vec<usize>,
    /// What was done to the cluster, and what it is all about.
    pub loud: BTreeSet<usize>,
}

/// What led to a violation, in so many lines at most.
pub fn before(trace: &[Line], violation: &Violation, most: usize) -> Choice {
    let until = trace.partition_point(|l| l.at <= violation.at_ns);
    let past = &trace[..until];
    let culprit = past.iter().rposition(|l| {
        l.at == violation.at_ns && violation.hosts.contains(&l.host) && l.source != "fault"
    });
    // What the culprit did of the same kind before, be it ever so small, and what became of its host
    // belong to the story however long ago they were; the rest is what happened last.
    let kind = culprit.map(|c| (&past[c].host, past[c].word));
    let own = |l: &Line| {
        kind.is_some_and(|(host, word)| l.host == *host && (l.word == word || l.source == "host"))
    };
    let last =
        |mut lines: Vec<usize>, most: usize| lines.split_off(lines.len().saturating_sub(most));
    let lines =
        |told: &dyn Fn(&Line) -> bool| (0..past.len()).filter(|i| told(&past[*i])).collect();
    let mut chosen = last(lines(&own), OWN_MAX * most / LINES_MAX);
    let others = lines(&|l| l.weight >= Weight::Story && !own(l));
    chosen.extend(last(others, most - chosen.len()));
    chosen.sort_unstable();
    choice(trace, chosen, culprit)
}

/// What an illness is about, in so many lines at most.
pub fn around_election(trace: &[Line], most: usize) -> Choice {
    around(trace, election(before_blackout(trace)), BEFORE_ELECTION, most)
}

/// What any other run is about, in so many lines at most.
pub fn around_fault(trace: &[Line], most: usize) -> Choice {
    match trace.iter().position(|l| l.source == "fault") {
        Some(fault) => around(trace, Some(fault), BEFORE_FAULT, most),
        None => around_election(trace, most),
    }
}

fn around(trace: &[Line], anchor: Option<usize>, before: usize, most: usize) -> Choice {
    let all: Vec<usize> = worth(before_blackout(trace)).collect();
    let at = anchor.map_or(all.len(), |anchor| all.partition_point(|i| *i < anchor));
    let lead = if anchor.is_some() { before * most / LINES_MAX } else { most };
    let from = at.saturating_sub(lead);
    let to = (from + most).min(all.len());
    choice(trace, all[from..to].to_vec(), anchor)
}

fn before_blackout(trace: &[Line]) -> &[Line] {
    let end = trace.iter().position(|l| l.source == "phase" && l.word == "blackout");
    &trace[..end.unwrap_or(trace.len())]
}

fn worth(trace: &[Line]) -> impl Iterator<Item = usize> {
    trace.iter().enumerate().filter(|(_, l)| l.weight >= Weight::Story).map(|(i, _)| i)
}

fn choice(trace: &[Line], lines: Vec<usize>, about: Option<usize>) -> Choice {
    let loud = lines.iter().copied();
    let loud = loud.filter(|i| trace[*i].source == "fault" || Some(*i) == about).collect();
    Choice { lines, loud }
}

/// The first line by which a node becomes a candidate after some node had been leader.
fn election(trace: &[Line]) -> Option<usize> {
    let led = trace.iter().position(|l| l.marks.contains(&'L'))?;
    (led + 1..trace.len()).find(|i| {
        let (was, is) = (&trace[i - 1].marks, &trace[*i].marks);
        was.iter().zip(is).any(|(was, is)| *was != 'C' && *is == 'C')
    })
}

/// Renders the chosen lines, with a heading and a legend.
pub fn render(trace: &[Line], choice: &Choice, paint: Paint) -> String {
    let chosen: Vec<(&Line, bool)> =
        choice.lines.iter().map(|i| (&trace[*i], choice.loud.contains(i))).collect();
    let lines = chosen.iter().map(|(line, _)| *line);
    let heads = lines.clone().map(|l| split(l).0.chars().count());
    let width = heads.filter(|n| *n <= HEAD_MAX).max().unwrap_or(0).max(18);
    let sources = lines.clone().map(|l| l.source.len()).max().unwrap_or(0);
    let nodes = lines.map(|l| l.marks.len()).max().unwrap_or(0);
    let clock = choice.lines.last().map_or(0, |i| instant(trace[*i].at).len());
    let margin = 4 + clock + 2 + sources + 2 + width + 2;
    let mut out = format!("{:<margin$}{}\n", "  story", names(nodes));
    for (line, loud) in chosen {
        let (head, note) = split(line);
        let mark = if loud { "!" } else { " " };
        let text = format!(
            "  {mark} {:>clock$}  {:<sources$}  {head:<width$}   {}  {note}",
            instant(line.at),
            line.source,
            marks(line)
        );
        let text = text.trim_end();
        out.push_str(&if loud { paint.bold(text) } else { text.to_string() });
        out.push('\n');
    }
    let indent = " ".repeat(margin.min(LEGEND_AT));
    out.push_str(&format!("{indent}{}\n", paint.dim(LEGEND)));
    out
}

/// Renders every line of a trace.
pub fn render_all(trace: &[Line], paint: Paint) -> String {
    let lines = (0..trace.len()).collect();
    render(trace, &choice(trace, lines, None), paint).replacen("  story", "  trace", 1)
}

fn names(nodes: usize) -> String {
    if nodes > WIDE_MAX {
        return format!("n1 to n{nodes}");
    }
    (1..=nodes).map(|n| format!("n{n}  ")).collect::<String>().trim_end().to_string()
}

fn marks(line: &Line) -> String {
    let gap = if line.marks.len() > WIDE_MAX { "" } else { "   " };
    line.marks.iter().map(|m| format!("{m}{gap}")).collect()
}

/// Who did what, and what else there is to say.
fn split(line: &Line) -> (String, &str) {
    let (head, note) = line.text.split_once(", ").unwrap_or((&line.text, ""));
    match line.source {
        "fault" => (legible(&line.text), ""),
        "phase" => (line.text.clone(), ""),
        _ => (format!("{} {head}", line.host), note),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(at: u64, host: &str, word: &'static str, weight: Weight, marks: &str) -> Line {
        let (host, text) = (host.to_string(), format!("{word}, term 2"));
        let source = if word == "crash" { "fault" } else { "raft" };
        Line { at, host, source, word, text, weight, marks: marks.chars().collect() }
    }

    fn violation(at_ns: u64, host: &str) -> Violation {
        let (check, text) = ("one_vote_per_term".to_string(), "twice".to_string());
        Violation { check, at_ns, hosts: vec![host.to_string()], text }
    }

    #[test]
    fn a_failure_ends_with_its_own_line_even_if_that_is_a_detail() {
        let mut trace: Vec<Line> =
            (0..30).map(|i| line(i, "n1", "tick", Weight::Story, "..")).collect();
        trace[25] = line(25, "n1", "crash", Weight::Story, "#.");
        trace.push(line(30, "n2", "vote", Weight::Detail, ".."));
        trace.push(line(31, "n1", "later", Weight::Story, ".."));
        let choice = before(&trace, &violation(30, "n2"), LINES_MAX);
        assert_eq!(choice.lines, (11..=30).collect::<Vec<_>>());
        assert_eq!(choice.loud, BTreeSet::from([25, 30]));
    }

    #[test]
    fn an_illness_is_told_around_the_first_election_after_a_leader() {
        let mut trace = vec![line(0, "n1", "candidate", Weight::Story, "C.")];
        trace.push(line(1, "n1", "leader", Weight::Story, "L."));
        trace.extend((2..40).map(|i| line(i, "n1", "work", Weight::Story, "L.")));
        trace.push(line(40, "n2", "candidate", Weight::Story, "LC"));
        trace.extend((41..60).map(|i| line(i, "n2", "work", Weight::Story, "LC")));
        let choice = around_election(&trace, LINES_MAX);
        assert_eq!(choice.lines, (31..51).collect::<Vec<_>>());
        assert_eq!(choice.loud, BTreeSet::from([40]));
        assert_eq!(around_election(&trace, 10).lines, (36..46).collect::<Vec<_>>());
    }

    #[test]
    fn any_other_run_is_told_around_its_first_fault_and_without_the_blackout() {
        let mut trace: Vec<Line> =
            (0..9).map(|i| line(i, "n1", "work", Weight::Story, "L.")).collect();
        trace.push(line(9, "n1", "crash", Weight::Story, "#."));
        let mut blackout = line(10, "n1", "blackout", Weight::Story, "##");
        blackout.source = "phase";
        trace.extend([blackout, line(11, "n1", "work", Weight::Story, "..")]);
        assert_eq!(around_fault(&trace, LINES_MAX).lines, (4..10).collect::<Vec<_>>());
    }

    #[test]
    fn without_an_election_the_end_is_told() {
        let trace: Vec<Line> =
            (0..30).map(|i| line(i, "n1", "work", Weight::Story, "L.")).collect();
        assert_eq!(around_election(&trace, LINES_MAX).lines, (10..30).collect::<Vec<_>>());
        assert_eq!(around_election(&[], LINES_MAX).lines, Vec::<usize>::new());
    }

    #[test]
    fn a_story_reads_like_the_design() {
        let trace = vec![
            line(20_288_114_000, "n1", "candidate", Weight::Story, "C...."),
            line(20_301_305_000, "n3", "crash", Weight::Story, "C.#.."),
        ];
        let choice = before(&trace, &violation(20_301_305_000, "n3"), LINES_MAX);
        let text = render(&trace, &choice, Paint::Off);
        let want = [
            "  story                                    n1  n2  n3  n4  n5",
            "    20.288 114  raft   n1 candidate         C   .   .   .   .     term 2",
            "  ! 20.301 305  fault  crash, term 2        C   .   #   .   .",
            "                       . follower   C candidate   L leader   ~ paused or stalled   # down",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), want);
    }
}
