//! A heat map as SVG: cells with their values in them, one panel for each combination of what is neither x
//! nor y, a legend with units. Coordinates and colours are whole numbers and nothing in it tells of the day,
//! so the same table gives the same bytes. Text is drawn in whatever monospaced font there is.
//!
//! Colours run from pale to dark over the values of all panels, evenly or by their logarithm; a value is
//! always written too, so nobody has to read it off a colour. Left out: interaction, and axes for values
//! that are no words.

use std::fmt::Write;

/// A tile in pixels.
const TILE: (i64, i64) = (112, 46);
/// A character of the font in pixels, about.
const CHAR: i64 = 8;
/// Around everything.
const EDGE: i64 = 16;
/// A line of text.
const LINE: i64 = 20;
/// Steps of the legend.
const STEPS: i64 = 5;
/// Colours from the least to the greatest value.
const STOPS: [[i64; 3]; 4] = [[255, 250, 220], [254, 196, 79], [217, 95, 14], [96, 28, 6]];
/// The scale of levels between two colours.
const FULL: i64 = 30_000;

/// What a tile is besides its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Nothing.
    None,
    /// Recommended.
    Best,
    /// It breaks a constraint.
    Broken,
}

/// A cell of the map.
#[derive(Clone, Debug)]
pub struct Tile {
    /// In thousandths; `None`: not measured.
    pub value: Option<i64>,
    /// The value as written.
    pub text: String,
    /// In small below it.
    pub note: String,
    /// What else it is.
    pub mark: Mark,
}

/// A map of its own, with the same colours as the others.
#[derive(Clone, Debug)]
pub struct Panel {
    /// What sets it apart; may be empty.
    pub title: String,
    xs: Vec<String>,
    ys: Vec<String>,
    tiles: Vec<(usize, usize, Tile)>,
}

/// A heat map.
#[derive(Clone, Debug)]
pub struct Heat {
    /// Above everything.
    pub title: String,
    /// What the values are, with their unit.
    pub what: String,
    /// What goes to the right.
    pub x: String,
    /// What goes down.
    pub y: String,
    /// Whether colours follow the logarithm.
    pub log: bool,
    /// In order, one below the other.
    pub panels: Vec<Panel>,
}

impl Panel {
    /// Without tiles yet.
    pub fn new(title: String) -> Panel {
        Panel { title, xs: Vec::new(), ys: Vec::new(), tiles: Vec::new() }
    }

    /// Adds a tile; columns and rows are in the order of their first tiles.
    pub fn put(&mut self, x: String, y: String, tile: Tile) {
        let place = |of: &mut Vec<String>, name: String| {
            of.iter().position(|known| *known == name).unwrap_or_else(|| {
                of.push(name);
                of.len() - 1
            })
        };
        let (x, y) = (place(&mut self.xs, x), place(&mut self.ys, y));
        self.tiles.push((x, y, tile));
    }

    fn height(&self) -> i64 {
        let title = if self.title.is_empty() { 0 } else { LINE };
        title + LINE + self.ys.len() as i64 * TILE.1 + LINE
    }
}

impl Heat {
    /// The picture.
    pub fn svg(&self) -> String {
        let names = self.panels.iter().flat_map(|p| &p.ys).chain([&self.y]);
        let gutter = EDGE + CHAR * names.map(|n| width(n)).max().unwrap_or(0) + CHAR;
        let across = self.panels.iter().map(|p| p.xs.len() as i64).max().unwrap_or(0);
        let title = EDGE + CHAR * width(&self.title).max(width(&self.what) + 4) * 9 / 8;
        let wide = (gutter + across.max(STEPS) * TILE.0).max(title) + EDGE;
        let mut body = String::new();
        let mut y = EDGE + LINE;
        line(&mut body, (EDGE, y - 6), "title", &self.title);
        y += LINE;
        line(&mut body, (EDGE, y - 6), "plain", &format!("colour: {}", self.what));
        y += LINE / 2;
        for panel in &self.panels {
            self.panel(&mut body, panel, (gutter, y));
            y += panel.height();
        }
        self.legend(&mut body, (gutter, y + LINE / 2));
        let high = y + LINE / 2 + TILE.1 + 2 * LINE + EDGE;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{wide}\" height=\"{high}\" \
             viewBox=\"0 0 {wide} {high}\">\n<style>text{{font-family:monospace;font-size:13px;fill:#222}}\
             .title{{font-size:15px;font-weight:bold}}.small{{font-size:11px}}\
             .mid{{text-anchor:middle}}.end{{text-anchor:end}}.light{{fill:#fff}}</style>\n\
             <rect width=\"{wide}\" height=\"{high}\" fill=\"#fff\"/>\n{body}</svg>\n"
        )
    }

    fn panel(&self, body: &mut String, panel: &Panel, (left, top): (i64, i64)) {
        let mut y = top + LINE;
        if !panel.title.is_empty() {
            line(body, (EDGE, y - 6), "plain", &panel.title);
            y += LINE;
        }
        line(body, (left - CHAR, y - 6), "end small", &self.y);
        for (i, name) in panel.xs.iter().enumerate() {
            line(body, (left + i as i64 * TILE.0 + TILE.0 / 2, y - 6), "mid", name);
        }
        for (i, name) in panel.ys.iter().enumerate() {
            line(body, (left - CHAR, y + i as i64 * TILE.1 + TILE.1 / 2 + 4), "end", name);
        }
        for (at, down, tile) in &panel.tiles {
            let place = (left + *at as i64 * TILE.0, y + *down as i64 * TILE.1);
            self.tile(body, tile, place);
        }
        let below = y + panel.ys.len() as i64 * TILE.1 + 14;
        let middle = left + panel.xs.len() as i64 * TILE.0 / 2;
        line(body, (middle, below), "mid small", &self.x);
    }

    fn tile(&self, body: &mut String, tile: &Tile, (x, y): (i64, i64)) {
        let level = tile.value.map(|v| self.level(v));
        let ([r, g, b], dark) = level.map_or(([238; 3], false), |l| (colour(l), l > FULL / 2));
        let (w, h) = TILE;
        let _ = writeln!(
            body,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" fill=\"#{r:02x}{g:02x}{b:02x}\" \
             stroke=\"#fff\"/>"
        );
        let (inset, light) = (4, if dark { " light" } else { "" });
        let edge = |dashes: &str| {
            let (x, y, w, h) = (x + inset, y + inset, w - 2 * inset, h - 2 * inset);
            format!(
                "<rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" fill=\"none\" \
                 stroke=\"#1f5fbf\" stroke-width=\"3\"{dashes}/>\n"
            )
        };
        match tile.mark {
            Mark::None => {}
            Mark::Best => body.push_str(&edge("")),
            Mark::Broken => {
                let (right, low) = (x + w - 8, y + 16);
                line(body, (right, low), &format!("end small{light}"), "x");
            }
        }
        line(body, (x + w / 2, y + h / 2), &format!("mid{light}"), &tile.text);
        line(body, (x + w / 2, y + h / 2 + 15), &format!("mid small{light}"), &tile.note);
    }

    fn legend(&self, body: &mut String, (left, top): (i64, i64)) {
        let Some((least, most)) = self.bounds() else { return };
        line(body, (left, top + 10), "small", &self.what);
        for step in 0..STEPS {
            let share = |a: i64, b: i64| a + (b - a) * step / (STEPS - 1);
            let level = share(0, FULL);
            let [r, g, b] = colour(level);
            let (x, y, w) = (left + step * TILE.0, top + LINE, TILE.0);
            let _ = writeln!(
                body,
                "<rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{LINE}\" \
                 fill=\"#{r:02x}{g:02x}{b:02x}\" stroke=\"#fff\"/>"
            );
            // By the logarithm only the ends have values that are no surprise.
            if !self.log || step == 0 || step == STEPS - 1 {
                let light = if level > FULL / 2 { "mid light" } else { "mid" };
                line(body, (x + w / 2, y + 14), light, &thousandths(share(least, most)));
            }
        }
        let marks = self.panels.iter().flat_map(|p| &p.tiles).map(|(_, _, t)| t.mark);
        let marks: Vec<Mark> = marks.collect();
        let mut words = Vec::new();
        if self.log {
            words.push("colours by logarithm");
        }
        if marks.contains(&Mark::Best) {
            words.push("framed: recommended");
        }
        if marks.contains(&Mark::Broken) {
            words.push("x: breaks a constraint");
        }
        if self.panels.iter().flat_map(|p| &p.tiles).any(|(_, _, t)| !t.note.is_empty()) {
            words.push("[95 % interval of the mean]");
        }
        line(body, (EDGE, top + 2 * LINE + 18), "small", &words.join("; "));
    }

    fn bounds(&self) -> Option<(i64, i64)> {
        let tiles = self.panels.iter().flat_map(|p| &p.tiles);
        let values: Vec<i64> = tiles.filter_map(|(_, _, t)| t.value).collect();
        Some((*values.iter().min()?, *values.iter().max()?))
    }

    /// Where a value lies between the least, 0, and the greatest, `FULL`.
    fn level(&self, value: i64) -> i64 {
        let Some((least, most)) = self.bounds() else { return 0 };
        let at = |v: i64| {
            if self.log { log2(v.saturating_sub(least).max(0) as u64 + 1) } else { v - least }
        };
        let (part, whole) = (i128::from(at(value)), i128::from(at(most)));
        if whole == 0 { 0 } else { (part * i128::from(FULL) / whole) as i64 }
    }
}

fn width(text: &str) -> i64 {
    text.chars().count() as i64
}

fn line(body: &mut String, (x, y): (i64, i64), class: &str, text: &str) {
    if text.is_empty() {
        return;
    }
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(body, "<text x=\"{x}\" y=\"{y}\" class=\"{class}\">{text}</text>");
}

/// The colour of a level from 0 to `FULL`.
fn colour(level: i64) -> [i64; 3] {
    let span = FULL / (STOPS.len() as i64 - 1);
    let first = (level / span).clamp(0, STOPS.len() as i64 - 2) as usize;
    let within = level - first as i64 * span;
    let (a, b) = (STOPS[first], STOPS[first + 1]);
    std::array::from_fn(|i| a[i] + (b[i] - a[i]) * within / span)
}

/// The binary logarithm in 65,536ths, from 1 up.
fn log2(n: u64) -> i64 {
    let whole = n.ilog2();
    // The fraction bit by bit: squaring doubles the logarithm.
    let (mut x, mut fraction) = ((u128::from(n) << 32) >> whole, 0);
    for _ in 0..16 {
        x = (x * x) >> 32;
        fraction <<= 1;
        if x >> 33 != 0 {
            (x, fraction) = (x >> 1, fraction | 1);
        }
    }
    (i64::from(whole) << 16) | fraction
}

/// Thousandths as a number with up to two places.
fn thousandths(n: i64) -> String {
    if n.abs() >= 100_000 {
        return (n / 1_000).to_string();
    }
    let text = format!("{}.{:02}", n / 1_000, n.abs() % 1_000 / 10);
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn heat(values: &[i64], log: bool) -> Heat {
        let mut panel = Panel::new("p < q".to_string());
        for (i, value) in values.iter().enumerate() {
            let (text, note) = (value.to_string(), String::new());
            let tile = Tile { value: Some(*value), text, note, mark: Mark::None };
            panel.put(format!("x{}", i % 3), format!("y{}", i / 3), tile);
        }
        let text = |t: &str| t.to_string();
        Heat {
            title: text("T"),
            what: text("w ms"),
            x: text("x"),
            y: text("y"),
            log,
            panels: vec![panel],
        }
    }

    #[test]
    fn logarithms_and_numbers() {
        assert_eq!((log2(1), log2(2), log2(1 << 40)), (0, 65_536, 40 << 16));
        assert_eq!(log2(3), 103_872, "1.58496 in 65,536ths");
        assert_eq!(thousandths(1_500), "1.5");
        assert_eq!(thousandths(0), "0");
        assert_eq!(thousandths(123_456), "123");
    }

    #[test]
    fn text_is_escaped_and_values_are_there() {
        let svg = heat(&[1_000, 7_777], false).svg();
        assert!(svg.contains("p &lt; q") && svg.contains(">7777</text>"), "{svg}");
        assert_eq!(svg, heat(&[1_000, 7_777], false).svg());
    }

    proptest! {
        /// More is never paler, and the ends are the ends.
        #[test]
        fn levels_follow_values(
            values in prop::collection::vec(0i64..1_000_000_000_000, 2..20),
            log in any::<bool>(),
        ) {
            let heat = heat(&values, log);
            let mut sorted = values.clone();
            sorted.sort_unstable();
            let levels: Vec<i64> = sorted.iter().map(|v| heat.level(*v)).collect();
            prop_assert!(levels.is_sorted());
            prop_assert_eq!(levels[0], 0);
            let most = if sorted[0] == sorted[sorted.len() - 1] { 0 } else { FULL };
            prop_assert_eq!(levels[levels.len() - 1], most);
            for level in levels {
                prop_assert!(colour(level).iter().all(|c| (0..=255).contains(c)));
            }
        }
    }
}
