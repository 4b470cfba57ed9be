//! A figure as a document prints it, read with the precision it is printed to: `4.9` stands for everything
//! from 4.85 to 4.95, `942MB` for 941.5 MB to 942.5 MB. What is printed may also be a range (`8MB..12MB`,
//! widened by half a last digit at both ends), a bound (`> 10s`, `< 12MB`), or several figures of which only
//! the order is claimed (`22ms -> 128ms -> 611ms`).
//!
//! Figures are compared in the units that a run's JSON uses: milliseconds, bytes, plain numbers. Left out:
//! what trailing zeros mean. `500ms` is read to the millisecond, though its author may have rounded to
//! hundreds.

use host::unit::{nanos, parse_duration, parse_size};

/// What kind of quantity a figure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dimension {
    /// Compared in milliseconds.
    Time,
    /// Compared in bytes.
    Bytes,
    /// A count, a rate per second or a ratio.
    Number,
}

impl Dimension {
    /// Whether a measure with this unit, as JSON names it, can be compared with such a figure.
    pub fn fits(self, unit: &str) -> bool {
        match self {
            Dimension::Time => unit == "ms",
            Dimension::Bytes => unit == "bytes",
            Dimension::Number => !matches!(unit, "ms" | "bytes"),
        }
    }
}

/// One printed figure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    /// All digits, without the point.
    digits: u64,
    /// Digits behind the point.
    places: u32,
    /// As printed.
    unit: String,
    /// Nanoseconds, bytes or ones in the unit.
    scale: u64,
    /// What it is a figure of.
    pub dimension: Dimension,
}

impl Figure {
    /// Parses a number with its unit.
    pub fn parse(text: &str) -> Result<Figure, String> {
        let wrong = || {
            format!(
                "`{text}` is not a figure; write it as printed, for example 4.9, 942MB or 268ms"
            )
        };
        let text = text.trim();
        let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
        let (number, unit) = (&text[..end], text[end..].trim());
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() || part.contains('.') || number.ends_with('.') || number.len() > 16 {
            return Err(wrong());
        }
        let digits = format!("{whole}{part}").parse().map_err(|_| wrong())?;
        let one = format!("1{unit}");
        let (scale, dimension) = match (parse_duration(&one), parse_size(&one)) {
            _ if matches!(unit, "" | "x" | "/s") => (1, Dimension::Number),
            (Ok(time), _) => (nanos(time), Dimension::Time),
            (_, Ok(size)) => (size.0, Dimension::Bytes),
            _ => return Err(format!("{}: `{unit}` is no unit here", wrong())),
        };
        let places = part.len() as u32;
        Ok(Figure { digits, places, unit: unit.to_string(), scale, dimension })
    }

    /// Half digits of the last place as a number in the unit of comparison.
    fn halves(&self, halves: i128) -> f64 {
        let per = if self.dimension == Dimension::Time { 1_000_000 } else { 1 };
        let below = 2 * 10_i128.pow(self.places) * per;
        (halves * i128::from(self.scale)) as f64 / below as f64
    }

    /// The figure itself.
    pub fn value(&self) -> f64 {
        self.halves(2 * i128::from(self.digits))
    }

    /// The least that is printed like this.
    pub fn low(&self) -> f64 {
        self.halves(2 * i128::from(self.digits) - 1)
    }

    /// The most that is printed like this.
    pub fn high(&self) -> f64 {
        self.halves(2 * i128::from(self.digits) + 1)
    }

    /// Another value in the unit of this figure, to one place more and at least three digits.
    pub fn show(&self, value: f64) -> String {
        let per = if self.dimension == Dimension::Time { 1e6 } else { 1.0 };
        let value = value * per / self.scale as f64;
        let whole = self.dimension == Dimension::Number && self.places == 0 && value.fract() == 0.0;
        if value == 0.0 || whole {
            return format!("{value:.0}{}", self.unit);
        }
        let leading = value.abs().log10().floor() as i32;
        let places = (self.places as i32 + 1).max(2 - leading).clamp(0, 6) as usize;
        format!("{value:.places$}{}", self.unit)
    }
}

/// What a document prints in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Printed {
    /// `4.9`.
    One(Figure),
    /// `17GB..29GB`.
    Range(Figure, Figure),
    /// `> 10s`.
    MoreThan(Figure),
    /// `< 12MB`.
    LessThan(Figure),
    /// `22ms -> 128ms`.
    Order(Vec<Figure>),
}

impl Printed {
    /// Parses what a document prints.
    pub fn parse(text: &str) -> Result<Printed, String> {
        let text = text.trim();
        if text.contains("->") {
            let figures: Vec<Figure> =
                text.split("->").map(Figure::parse).collect::<Result<_, _>>()?;
            let alike = figures.iter().all(|f| f.dimension == figures[0].dimension);
            if !alike {
                return Err(format!("`{text}`: figures of one order have one kind of unit"));
            }
            if figures.windows(2).any(|pair| pair[0].value() == pair[1].value()) {
                return Err(format!("`{text}`: figures of one order differ from each other"));
            }
            return Ok(Printed::Order(figures));
        }
        if let Some(rest) = text.strip_prefix('>') {
            return Ok(Printed::MoreThan(Figure::parse(rest)?));
        }
        if let Some(rest) = text.strip_prefix('<') {
            return Ok(Printed::LessThan(Figure::parse(rest)?));
        }
        let Some((from, to)) = text.split_once("..") else {
            return Ok(Printed::One(Figure::parse(text)?));
        };
        let to = Figure::parse(to)?;
        let bare = from.trim().ends_with(|c: char| c.is_ascii_digit());
        let from = if bare { format!("{}{}", from.trim(), to.unit) } else { from.to_string() };
        let from = Figure::parse(&from)?;
        if from.dimension != to.dimension || from.value() >= to.value() {
            return Err(format!("`{text}`: a range goes from less to more, in one kind of unit"));
        }
        Ok(Printed::Range(from, to))
    }

    /// The figure whose unit and precision others are shown in.
    pub fn model(&self) -> &Figure {
        match self {
            Printed::One(f) | Printed::MoreThan(f) | Printed::LessThan(f) => f,
            Printed::Range(_, to) => to,
            Printed::Order(figures) => &figures[0],
        }
    }

    /// From where to where the document's value may lie; of a bound or an order nothing is said.
    pub fn interval(&self) -> Option<(f64, f64)> {
        match self {
            Printed::One(f) => Some((f.low(), f.high())),
            Printed::Range(from, to) => Some((from.low(), to.high())),
            Printed::MoreThan(_) | Printed::LessThan(_) | Printed::Order(_) => None,
        }
    }
}

/// Whether a document and a scenario say the same quantity, in whatever unit.
pub fn same(document: &str, in_force: &str) -> bool {
    fn both<T: PartialEq>(a: &str, b: &str, parse: impl Fn(&str) -> Result<T, String>) -> bool {
        matches!((parse(a), parse(b)), (Ok(a), Ok(b)) if a == b)
    }
    document.trim() == in_force.trim()
        || both(document, in_force, host::unit::parse_span)
        || both(document, in_force, parse_size)
        || both(document, in_force, host::unit::parse_rate)
        || both(document, in_force, |text| text.trim().parse::<u64>().map_err(|e| e.to_string()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn interval(text: &str) -> (f64, f64) {
        Printed::parse(text).unwrap().interval().unwrap()
    }

    #[test]
    fn a_figure_is_read_with_the_precision_it_is_printed_to() {
        assert_eq!(interval("4.9"), (4.85, 4.95));
        assert_eq!(interval("353"), (352.5, 353.5));
        assert_eq!(interval("942MB"), (941.5e6, 942.5e6));
        assert_eq!(interval("1.3GB"), (1.25e9, 1.35e9));
        assert_eq!(interval("268ms"), (267.5, 268.5));
        assert_eq!(interval("2s"), (1_500.0, 2_500.0));
        assert_eq!(interval("0.94x"), (0.935, 0.945));
        assert_eq!(interval("8MB..12MB"), (7.5e6, 12.5e6));
        assert_eq!(interval("17..29GB"), (16.5e9, 29.5e9));
        for bound in ["> 10s", "< 12MB", "1 -> 2"] {
            assert_eq!(Printed::parse(bound).unwrap().interval(), None);
        }
    }

    #[test]
    fn what_is_no_figure_is_refused() {
        for text in ["", "fast", "4,9", "4.", ".5", "5 parsecs", "1..", "9MB..8MB", "1ms..2MB"] {
            assert!(Printed::parse(text).is_err(), "{text}");
        }
        assert!(Printed::parse("1ms -> 2MB").unwrap_err().contains("one kind"));
        assert!(Printed::parse("2ms -> 2ms").unwrap_err().contains("differ"));
        assert!(Printed::parse("99999999999999999").is_err());
    }

    #[test]
    fn values_are_shown_as_the_document_prints_its_own() {
        let show = |like: &str, value: f64| Figure::parse(like).unwrap().show(value);
        assert_eq!(show("4.9", 5.0312), "5.03");
        assert_eq!(show("942MB", 938_219_000.0), "938.2MB");
        assert_eq!(show("1.3GB", 12_300_000.0), "0.0123GB");
        assert_eq!(show("10", 12.0), "12");
        assert_eq!(show("353", 361.27), "361.3");
        assert_eq!(show("268ms", 271.46), "271.5ms");
        assert_eq!(show("10s", 0.0), "0s");
    }

    #[test]
    fn one_quantity_may_be_written_in_two_ways() {
        assert!(same("1000ms..3000ms", "1s..3s") && same("8MB", "8000kB") && same("100", "100"));
        assert!(!same("8MB", "8MiB") && !same("100", "1000") && same("json", "json"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[0-9.a-zA-Z<> -]{0,20}|.{0,20}") {
            let _ = Printed::parse(&text);
        }

        /// Whatever would be printed with the same digits lies in the interval, and nothing else does.
        #[test]
        fn an_interval_is_what_rounds_to_the_figure(
            thousandths in 0u64..10_000_000, places in 0usize..3,
        ) {
            let value = thousandths as f64 / 1000.0;
            let printed = format!("{value:.places$}");
            let (low, high) = interval(&printed);
            prop_assert!(low <= value + 1e-9 && value <= high + 1e-9, "{printed}: {low}..{high}");
            let step = 10f64.powi(-(places as i32));
            prop_assert!((high - low - step).abs() < 1e-6);
            let other = format!("{:.places$}", high + step);
            prop_assert_ne!(other, printed);
        }
    }
}
