//! Quantities with units: parsing, printing, and the refusal of bare numbers. Everything is an integer of
//! the smallest unit (nanoseconds, bytes, parts per million): floating point differs between libms.
//! What is shown is what is parsed: every `show` gives text that its `parse` takes back unchanged.

use std::sync::Arc;
use std::time::Duration;

const TIMES: [(&str, u64); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("min", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];
const SIZES: [(&str, u64); 10] = [
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// Bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Size(pub u64);

/// Bytes per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Rate(pub u64);

/// Parts per million.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Ratio(pub u32);

/// A range of durations from which one is drawn, or a pair of bounds; a single duration is both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Span {
    /// The lower end.
    pub min: Duration,
    /// The upper end, inclusive.
    pub max: Duration,
}

/// A distribution given by quantiles and read by straight lines between them: integer arithmetic, so that
/// it is the same on every machine. `p0 60us, p50 90us, p99 400us, p100 2ms`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Quantiles(Arc<[(u32, u64)]>);

impl Quantiles {
    /// Always the same duration.
    pub fn constant(d: Duration) -> Quantiles {
        let ns = nanos(d);
        Quantiles(Arc::new([(0, ns), (1_000_000, ns)]))
    }

    /// The value under a uniform draw of 64 bits, in nanoseconds.
    pub fn at(&self, draw: u64) -> u64 {
        let p = ((draw >> 32) * 1_000_000) >> 32;
        self.at_ppm(p)
    }

    /// The same distribution with every value, in nanoseconds, replaced; `change` keeps their order.
    pub fn map(&self, change: impl Fn(u64) -> u64) -> Quantiles {
        Quantiles(self.0.iter().map(|(ppm, ns)| (*ppm, change(*ns))).collect())
    }

    /// The quantile at `p` parts per million, in nanoseconds.
    pub fn at_ppm(&self, p: u64) -> u64 {
        for pair in self.0.windows(2) {
            let ((p0, v0), (p1, v1)) = (pair[0], pair[1]);
            if p <= u64::from(p1) {
                let across = u128::from(p - u64::from(p0)) * u128::from(v1 - v0);
                return v0 + (across / u128::from(p1 - p0)) as u64;
            }
        }
        self.0.last().map_or(0, |q| q.1)
    }
}

/// A duration in nanoseconds; saturates after 584 years.
pub fn nanos(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}

/// Splits `12.5ms` into thousandths-exact parts and scales by the unit.
fn quantity(text: &str, units: &[(&str, u64)], example: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits_end =
        text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '_')).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits_end);
    let unit = unit.trim();
    if number.is_empty() {
        return Err(format!("`{text}` is not a quantity; write for example \"{example}\""));
    }
    let known: Vec<&str> = units.iter().map(|u| u.0).collect();
    if unit.is_empty() {
        return Err(format!(
            "`{text}` has no unit; write \"{number}{}\" (units: {})",
            units[if units.len() > 2 { 2 } else { 0 }].0,
            known.join(" ")
        ));
    }
    let Some(&(_, scale)) = units.iter().find(|u| u.0 == unit) else {
        return Err(format!("`{unit}` is not a unit here (units: {})", known.join(" ")));
    };
    decimal(number, scale).ok_or_else(|| format!("`{text}` is not a number this program can hold"))
}

/// `1.25` times `scale`, exactly; digits beyond the scale's resolution are refused.
fn decimal(number: &str, scale: u64) -> Option<u64> {
    let clean: String = number.chars().filter(|c| *c != '_').collect();
    let (whole, part) = clean.split_once('.').unwrap_or((&clean, ""));
    if whole.is_empty() || part.contains('.') || part.len() > 15 {
        return None;
    }
    let ten = 10u128.pow(part.len() as u32);
    let all = whole.parse::<u128>().ok()?.checked_mul(ten)?;
    let all = all.checked_add(if part.is_empty() { 0 } else { part.parse::<u128>().ok()? })?;
    let scaled = all.checked_mul(u128::from(scale))?;
    if scaled % ten != 0 {
        return None;
    }
    u64::try_from(scaled / ten).ok()
}

/// Parses a duration such as `1.5ms`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    quantity(text, &TIMES, "75ms").map(Duration::from_nanos)
}

/// Parses a size such as `8MiB` or `1MB`.
pub fn parse_size(text: &str) -> Result<Size, String> {
    quantity(text, &SIZES, "8MiB").map(Size)
}

/// Parses a rate such as `1GB/s`.
pub fn parse_rate(text: &str) -> Result<Rate, String> {
    let Some(size) = text.trim().strip_suffix("/s") else {
        return Err(format!("`{text}` is not a rate; write for example \"1GB/s\""));
    };
    quantity(size, &SIZES, "1GB/s").map(Rate)
}

/// Parses a share such as `2.5%` or `0.025`.
pub fn parse_ratio(text: &str) -> Result<Ratio, String> {
    let text = text.trim();
    let (number, scale) = match text.strip_suffix('%') {
        Some(number) => (number.trim(), 10_000),
        None => (text, 1_000_000),
    };
    match decimal(number, scale) {
        Some(ppm) if ppm <= 1_000_000 => Ok(Ratio(ppm as u32)),
        Some(_) => Err(format!("`{text}` is more than the whole; allowed: 0% to 100%")),
        None => Err(format!("`{text}` is not a share; write for example \"25%\" or 0.25")),
    }
}

/// Parses a range such as `150ms..300ms`, or a single duration.
pub fn parse_span(text: &str) -> Result<Span, String> {
    let (min, max) = match text.split_once("..") {
        Some((a, b)) => (parse_duration(a)?, parse_duration(b)?),
        None => (parse_duration(text)?, parse_duration(text)?),
    };
    if min > max {
        return Err(format!("`{text}` runs backwards; write \"{}..{}\"", show(max), show(min)));
    }
    Ok(Span { min, max })
}

/// Parses `p0 60us, p50 90us, p99.9 2ms, p100 5ms`, or `30ms..40ms` for all values between two alike.
pub fn parse_quantiles(text: &str) -> Result<Quantiles, String> {
    let example = "write for example \"p0 60us, p50 90us, p99 400us, p100 2ms\" or \"30ms..40ms\"";
    if text.contains("..") {
        let Span { min, max } = parse_span(text)?;
        return Ok(Quantiles(Arc::new([(0, nanos(min)), (1_000_000, nanos(max))])));
    }
    let mut points: Vec<(u32, u64)> = Vec::new();
    for part in text.split(',') {
        let Some((p, value)) = part.trim().strip_prefix('p').and_then(|r| r.split_once(' ')) else {
            return Err(format!("`{}` is not a quantile; {example}", part.trim()));
        };
        let ppm = parse_ratio(&format!("{p}%"))?.0;
        let value = nanos(parse_duration(value)?);
        if points.last().is_some_and(|last| last.0 >= ppm || last.1 > value) {
            return Err(format!("quantiles must rise; `{}` does not", part.trim()));
        }
        points.push((ppm, value));
    }
    if points.len() < 2 || points[0].0 != 0 || points[points.len() - 1].0 != 1_000_000 {
        return Err(format!("quantiles begin at p0 and end at p100; {example}"));
    }
    Ok(Quantiles(points.into()))
}

fn exact(n: u64, units: &[(&'static str, u64)]) -> String {
    let fitting = units.iter().filter(|u| n >= u.1 && n.is_multiple_of(u.1)).max_by_key(|u| u.1);
    let (unit, scale) = fitting.copied().unwrap_or(units[0]);
    format!("{}{unit}", n / scale)
}

/// The shortest exact form of a duration (`1500us`, `2s`).
pub fn show(d: Duration) -> String {
    exact(nanos(d), &TIMES[..4])
}

/// The shortest exact form of a size.
pub fn show_size(size: Size) -> String {
    exact(size.0, &SIZES)
}

/// The exact form of a rate.
pub fn show_rate(rate: Rate) -> String {
    format!("{}/s", show_size(Size(rate.0)))
}

/// A share in percent.
pub fn show_ratio(ratio: Ratio) -> String {
    let (whole, part) = (ratio.0 / 10_000, ratio.0 % 10_000);
    let text = format!("{whole}.{part:04}");
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A range, or the single duration it is.
pub fn show_span(span: Span) -> String {
    if span.min == span.max {
        return show(span.min);
    }
    format!("{}..{}", show(span.min), show(span.max))
}

/// Quantiles as they are written.
pub fn show_quantiles(q: &Quantiles) -> String {
    let point = |&(ppm, ns): &(u32, u64)| {
        let p = show_ratio(Ratio(ppm));
        format!("p{} {}", p.trim_end_matches('%'), show(Duration::from_nanos(ns)))
    };
    q.0.iter().map(point).collect::<Vec<_>>().join(", ")
}

/// Milliseconds to three places, for people: `20.301`.
pub fn millis(ns: u64) -> String {
    format!("{}.{:03}", ns / 1_000_000, ns / 1_000 % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bare_numbers_are_refused_with_the_fix() {
        assert!(parse_duration("75").unwrap_err().contains("write \"75ms\""));
        assert!(parse_duration("-1s").is_err());
        assert!(parse_duration("NaN").is_err());
        assert!(parse_size("1").unwrap_err().contains("no unit"));
        assert!(parse_span("300ms..150ms").unwrap_err().contains("150ms..300ms"));
        assert!(parse_duration("99999999999999999999d").is_err());
        let uniform = parse_quantiles("30ms..40ms").unwrap();
        assert_eq!(show_quantiles(&uniform), "p0 30ms, p100 40ms");
        assert_eq!(uniform.at_ppm(500_000), 35_000_000);
        assert!(parse_quantiles("40ms..30ms").unwrap_err().contains("backwards"));
        assert!(parse_quantiles("p0 5us, p50 4us, p100 9us").is_err());
        assert!(parse_ratio("150%").is_err());
    }

    proptest! {
        #[test]
        fn what_is_shown_is_what_is_parsed(ns in any::<u64>(), ppm in 0u32..=1_000_000) {
            let d = Duration::from_nanos(ns);
            prop_assert_eq!(parse_duration(&show(d)).unwrap(), d);
            prop_assert_eq!(parse_size(&show_size(Size(ns))).unwrap(), Size(ns));
            prop_assert_eq!(parse_rate(&show_rate(Rate(ns))).unwrap(), Rate(ns));
            prop_assert_eq!(parse_ratio(&show_ratio(Ratio(ppm))).unwrap(), Ratio(ppm));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = parse_duration(&text);
            let _ = parse_size(&text);
            let _ = parse_rate(&text);
            let _ = parse_ratio(&text);
            let _ = parse_span(&text);
            let _ = parse_quantiles(&text);
        }

        #[test]
        fn quantiles_rise_with_the_draw(a in any::<u64>(), b in any::<u64>()) {
            let q = parse_quantiles("p0 60us, p50 90us, p99 400us, p100 2ms").unwrap();
            prop_assert!(q.at(a.min(b)) <= q.at(a.max(b)));
            prop_assert!((60_000..=2_000_000).contains(&q.at(a)));
        }
    }
}
