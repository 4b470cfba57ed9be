//! Elections against what is known of them from elsewhere: the chance of a split vote in closed form,
//! AvailSim's figures, those of the Raft paper's figure 16 whose ranges are wide. What depends on single
//! milliseconds of an operating system's timers is left out. All through the real driver.
//!
//! Sources: Ongaro's dissertation, sections 9.2 to 9.5; the Raft paper, section 9.3.

mod program;

use program::{json, scratch, wavetank};

/// A measure of every seed of a sweep, in order of the seeds.
fn sweep(scenario: &str, seeds: u64, sets: &[&str], measure: &str) -> Vec<f64> {
    let name = sets.iter().flat_map(|set| set.split('=').next_back()).collect::<Vec<_>>().join("-");
    let out = scratch(&format!("elections-{scenario}-{name}-{measure}"));
    let sets: String = sets.iter().map(|set| format!(" --set {set}")).collect();
    let line =
        format!("sweep {scenario} --seeds 0..{seeds} --jobs 2 --out {}{sets}", out.display());
    let mut lines = json(&line);
    let summary = lines.pop().expect("a summary");
    assert_eq!(summary["summary"]["failed"], 0, "{summary}");
    lines.iter().map(|l| l["measures"][measure].as_f64().expect("somebody was elected")).collect()
}

fn quantile(sorted: &[f64], share: f64) -> f64 {
    sorted[((sorted.len() as f64 * share) as usize).min(sorted.len() - 1)]
}

fn mean(all: &[f64]) -> f64 {
    all.iter().sum::<f64>() / all.len() as f64
}

fn near(what: &str, ours: f64, published: f64, tolerance: f64) {
    let off = (ours / published - 1.0).abs();
    assert!(off <= tolerance, "{what}: {ours:.1}, published {published}, {:.1} % off", off * 100.0);
}

/// The chance that a term is split among `s` live servers of `n` whose timeouts lie evenly in a range, if
/// a message takes the share `l` of that range: that too many time out within `l` of the first.
fn split(n: u64, s: u64, l: f64) -> f64 {
    let choose = |k: u64| (1..=k).map(|i| (s - k + i) as f64 / i as f64).product::<f64>();
    let most = s - n / 2;
    (most..=s).map(|k| choose(k) * l.powi(k as i32) * (1.0 - l).powi((s - k) as i32)).sum()
}

#[test]
fn the_closed_form_is_the_dissertations() {
    for (n, s, l, percent) in [
        (5, 4, 0.01, 0.06),
        (5, 4, 0.1, 5.2),
        (5, 4, 0.2, 18.1),
        (5, 3, 0.2, 48.8),
        (9, 7, 0.2, 14.8),
        (9, 6, 0.2, 34.5),
        (9, 5, 0.2, 67.2),
    ] {
        let ours = split(n, s, l) * 100.0;
        assert!((ours - percent).abs() < 0.06, "{n} {s} {l}: {ours}");
    }
}

/// Timeouts of 1 to 2 s, ticks of 1 ms at random phases, a message takes always as long. A first term
/// that nobody won was split.
#[test]
fn terms_split_as_often_as_the_closed_form_says() {
    for (latency, l) in [("10ms", 0.01), ("100ms", 0.1), ("200ms", 0.2)] {
        let latency = format!("profile.link_latency.value={latency}..{latency}");
        let sets =
            [latency.as_str(), "cluster.config.election_timeout=1s..2s", "workload.0.lasts=3s"];
        let all = sweep("cold_start_elects", 800, &sets, "elections_split");
        let (seeds, chance) = (all.len() as f64, split(5, 4, l));
        let found = all.iter().filter(|terms| **terms > 0.0).count() as f64;
        let error = (seeds * chance * (1.0 - chance)).sqrt();
        let off = (found - seeds * chance).abs();
        assert!(off <= 3.0 * error + 1.0, "{l}: {found} of {seeds}, expected {}", seeds * chance);
    }
}

#[test]
fn one_failed_of_five_with_equal_logs_is_availsims() {
    let mut all = sweep("cold_start_elects", 1500, &[], "election_won");
    near("mean", mean(&all), 469.0, 0.03);
    all.sort_by(f64::total_cmp);
    for (share, published) in [(0.1, 379.0), (0.5, 423.0), (0.9, 562.0), (0.95, 814.0)] {
        near(&format!("p{}", share * 100.0), quantile(&all, share), published, 0.08);
    }
}

#[test]
fn wide_ranges_are_those_of_figure_16() {
    for (range, published) in
        [("100ms..200ms", [85.0, 120.0, 166.0]), ("150ms..300ms", [125.0, 171.0, 244.0])]
    {
        let set = format!("cluster.config.election_timeout={range}");
        let mut all = sweep("leader_crash_elects", 500, &[set.as_str()], "election_heard");
        all.sort_by(f64::total_cmp);
        for (share, published) in [0.1, 0.5, 0.9].into_iter().zip(published) {
            near(&format!("{range} p{}", share * 100.0), quantile(&all, share), published, 0.1);
        }
    }
}

/// A candidate that cannot win holds up the others with the library's timers, and less with the paper's.
#[test]
fn a_refused_request_costs_less_where_it_restarts_no_timer() {
    let won = |restarts: &str| {
        let restarts = format!("cluster.config.timer_restarts={restarts}");
        let sets = ["cluster.config.logs=different", restarts.as_str()];
        mean(&sweep("cold_start_elects", 300, &sets, "election_won"))
    };
    let (library, paper) = (won("new_term"), won("vote_granted"));
    assert!(library > paper * 1.1, "{library} and {paper}");
}

/// When the last candidate asked the first other node, when its own vote counted, and when it led, in
/// microseconds.
fn last_election(seed: u64, request: &str) -> [u64; 3] {
    let line = format!(
        "run leader_crash_elects --seed {seed} --trace full --no-cure --set \
         cluster.config.vote_request={request} --set cluster.config.logs=same"
    );
    let output = wavetank(&line.split_whitespace().collect::<Vec<_>>());
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    // `    0.412 003  raft  n2 leader   . L . . .   term 3, log to 2`
    let lines: Vec<(u64, Vec<&str>)> = text
        .lines()
        .filter(|l| l.contains("  raft  "))
        .map(|l| {
            let words: Vec<&str> = l.trim_start_matches(['!', ' ']).split_whitespace().collect();
            let digits: String = words[..2].concat().replace('.', "");
            (digits.parse().expect("a time"), words[3..].to_vec())
        })
        .collect();
    let of = |host: Option<&str>, what: &[&str], term: &str| {
        let is = |w: &[&str]| {
            let mut rest = w[1..].iter();
            host.is_none_or(|h| w[0] == h)
                && what.iter().all(|word| rest.next() == Some(word))
                && w.windows(2).any(|p| p[0] == "term" && p[1].trim_end_matches(',') == term)
        };
        lines.iter().find(|(_, words)| is(words)).map(|(at, _)| *at).expect("it happened")
    };
    let led = lines.iter().rfind(|(_, w)| w.get(1) == Some(&"leader")).expect("somebody led");
    let (host, term) = (led.1[0], led.1.windows(2).find(|p| p[0] == "term").expect("a term")[1]);
    let term = term.trim_end_matches(',');
    [of(None, &["follower"], term), of(Some(host), &["votes", host], term), led.0]
}

#[test]
fn a_candidate_may_ask_before_its_vote_is_durable_and_leads_only_after() {
    for seed in 0..8 {
        let [asked, voted, led] = last_election(seed, "at_once");
        assert!(asked < voted && voted <= led, "seed {seed}: {asked} {voted} {led}");
        let [asked, voted, led] = last_election(seed, "durable");
        assert!(voted <= asked && asked < led, "seed {seed}: {asked} {voted} {led}");
    }
}
