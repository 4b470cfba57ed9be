//! Second runs within a sweep: every seed that fails, and one of twenty of the others, is run once more in
//! another process, after other seeds and in perturbed surroundings, and must give the same line, digest and
//! all. Which of the others depends on the seed alone, so an interrupted sweep asks for the same ones. What
//! differs is `flaky`, a verdict of its own: neither of its runs can be believed. A second run leaves
//! `again` in the line of its seed: `same` or `differs`.
//!
//! Left out: seeds whose worker died or took too long. Each had its second run at once, in a fresh worker.

use kernel::digest::Digest;
use kernel::outcome::{Class, Verdict};
use serde_json::{Value, json};

/// One of so many seeds that do not fail is run again.
const ONE_OF: u128 = 20;

/// Whether a result wants a second run.
pub fn wanted(run: &Value) -> bool {
    let ran = run["digest"].as_str().is_some_and(|digest| !digest.is_empty());
    let failed = run["verdict"] == Verdict::Fail.word();
    ran && (failed || run["seed"].as_u64().is_some_and(chosen))
}

fn chosen(seed: u64) -> bool {
    let mut digest = Digest::default();
    digest.add(|b| b.extend_from_slice(format!("again {seed}").as_bytes()));
    u128::from_str_radix(&digest.hex(), 16).is_ok_and(|hash| hash.is_multiple_of(ONE_OF))
}

/// What two runs of a seed came to.
pub fn judged(first: Value, second: &Value) -> Value {
    let mut run = first;
    if run == *second {
        run["again"] = json!("same");
        return run;
    }
    let violation = json!({
        "check": "again", "at_ns": 0, "hosts": [], "text": difference(&run, second),
    });
    if let Some(violations) = run["violations"].as_array_mut() {
        violations.insert(0, violation);
    }
    run["verdict"] = json!(Verdict::Flaky.word());
    run["class"] = json!(Class::Nondeterminism.word());
    run["again"] = json!("differs");
    run
}

/// One sentence about two runs that are not the same.
fn difference(a: &Value, b: &Value) -> String {
    let told = |run: &Value| {
        let word = |name: &str| run[name].as_str().unwrap_or_default().to_string();
        let digest: String = match word("digest") {
            none if none.is_empty() => format!("none, {}", run["violations"][0]["text"]),
            some => some.chars().take(12).collect(),
        };
        format!("{} {}", [word("verdict"), word("class")].join(" ").trim(), digest)
    };
    if a["digest"] != b["digest"] {
        return format!("two runs, two digests: {}; {}", told(a), told(b));
    }
    let keys = a.as_object().into_iter().flatten().map(|(key, _)| key);
    let parts: Vec<&str> = keys.filter(|k| a[k.as_str()] != b[k.as_str()]).map(|k| &**k).collect();
    format!("two runs with digest {} differ in {}", told(a), parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(seed: u64, verdict: &str, digest: &str) -> Value {
        json!({"seed": seed, "verdict": verdict, "class": null, "digest": digest,
               "polls": 7, "violations": []})
    }

    #[test]
    fn every_failure_and_one_of_twenty_others() {
        let passing = (0..20_000).filter(|seed| wanted(&run(*seed, "pass", "ab"))).count();
        assert!((900..1_100).contains(&passing), "{passing} of 20000");
        assert!((0..100).all(|seed| wanted(&run(seed, "fail", "ab"))));
        assert!((0..100).all(|seed| !wanted(&run(seed, "fail", ""))), "a worker died of it");
    }

    #[test]
    fn a_difference_of_any_kind_is_flaky() {
        let first = run(3, "pass", "abcdefabcdefabcdef");
        let same = judged(first.clone(), &first);
        assert_eq!((&same["again"], &same["verdict"]), (&json!("same"), &json!("pass")));
        let other = judged(first.clone(), &run(3, "fail", "fedcba"));
        assert_eq!((&other["again"], &other["verdict"]), (&json!("differs"), &json!("flaky")));
        let text = other["violations"][0]["text"].as_str().unwrap();
        assert!(text.contains("pass abcdefabcdef;") && text.contains("fail fedcba"), "{text}");
        let mut polls = first.clone();
        polls["polls"] = json!(8);
        let text = judged(first, &polls)["violations"][0]["text"].to_string();
        assert!(text.contains("differ in polls"), "{text}");
    }
}
