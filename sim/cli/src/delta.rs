//! What differs between two texts, line by line: the longest common subsequence stays, the rest is marked.
//! Texts are short, so the square table is no matter.
//!
//! For `bless --check`, which shows what would change; it is no patch format and carries no line numbers.

/// Lines of the difference: ` ` both, `-` only before, `+` only after; `None` if nothing differs.
pub fn delta(before: &str, after: &str) -> Option<String> {
    if before == after {
        return None;
    }
    let (a, b): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let mut common = vec![vec![0u32; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            common[i][j] = if a[i] == b[j] {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut marked) = (0, 0, Vec::new());
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            marked.push((' ', a[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == b.len() || (i < a.len() && common[i + 1][j] >= common[i][j + 1]) {
            marked.push(('-', a[i]));
            i += 1;
        } else {
            marked.push(('+', b[j]));
            j += 1;
        }
    }
    Some(with_context(&marked))
}

fn with_context(marked: &[(char, &str)]) -> String {
    let near = |at: usize| {
        let window = &marked[at.saturating_sub(2)..(at + 3).min(marked.len())];
        window.iter().any(|(mark, _)| *mark != ' ')
    };
    let (mut out, mut skipped) = (String::new(), false);
    for (at, (mark, line)) in marked.iter().enumerate() {
        if near(at) {
            out.push_str(&format!("{mark} {line}\n"));
            skipped = false;
        } else if !skipped {
            out.push_str("  ..\n");
            skipped = true;
        }
    }
    // Line endings differ, and nothing else.
    if marked.iter().all(|(mark, _)| *mark == ' ') {
        out.push_str("  (the last line's end differs)\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_and_its_neighbours_are_shown() {
        assert_eq!(delta("a\nb\n", "a\nb\n"), None);
        let text = delta("1\n2\n3\n4\n5\n6\n", "1\n2\n3\n4\nfive\n6\n").unwrap();
        assert_eq!(text, "  ..\n  3\n  4\n- 5\n+ five\n  6\n");
        assert!(delta("a\n", "a").unwrap().contains("end differs"));
    }
}
