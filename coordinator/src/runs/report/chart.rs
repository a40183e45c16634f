//! Curves over training time, as SVG that scales with its place and is read aloud.

use std::fmt::Write;

use super::html::escaped;
use super::scale::Axis;

/// Size of a chart, in its own units: small, so that text stays readable on a phone.
const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 236.0;
const LEFT: f64 = 54.0;
const RIGHT: f64 = 428.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 206.0;

/// Curves of so many points have each of them marked.
const MARKED_MAX: usize = 40;

/// How a curve is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// What the eye is to follow.
    Main,
    /// What it is compared with.
    Beside,
    /// What holds from one point to the next, filled to the ground.
    Steps,
}

/// One curve.
#[derive(Debug)]
pub(super) struct Curve {
    pub(super) name: &'static str,
    pub(super) style: Style,
    /// What the legend says of it, if not its name and last value.
    pub(super) key: Option<(&'static str, f64)>,
    /// Seconds of training, and values.
    pub(super) points: Vec<(f64, f64)>,
}

/// A chart of one or two curves.
pub(super) struct Chart {
    /// A word without spaces, unique on the page.
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    /// How a value is written.
    pub(super) shown: fn(f64) -> String,
    /// Values fall by orders of magnitude.
    pub(super) magnitudes: bool,
    /// Only whole numbers stand at its side.
    pub(super) whole: bool,
    /// The moment to point out on the main curve.
    pub(super) mark: Option<f64>,
    pub(super) curves: Vec<Curve>,
}

/// Seconds, minutes, hours or days, for an axis of so many seconds.
fn unit(seconds: f64) -> (f64, &'static str) {
    match seconds {
        _ if seconds < 180.0 => (1.0, "s"),
        _ if seconds < 3.0 * 3600.0 => (60.0, "min"),
        _ if seconds < 3.0 * 86_400.0 => (3600.0, "h"),
        _ => (86_400.0, "d"),
    }
}

impl Style {
    fn class(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Beside => "beside",
            Self::Steps => "steps",
        }
    }
}

impl Chart {
    /// The chart with its heading and a legend, over so many seconds.
    pub(super) fn figure(&self, seconds: f64) -> String {
        let id = self.id;
        let mut html = format!("<figure><figcaption><h3>{}</h3>", escaped(self.title));
        for curve in &self.curves {
            let class = curve.style.class();
            let last = curve.points.last().map(|(_, value)| (curve.name, *value));
            if let Some((name, value)) = last.map(|last| curve.key.unwrap_or(last)) {
                let (name, value) = (escaped(name), escaped(&(self.shown)(value)));
                let _ = write!(html, "<span class=\"key {class}\">{name} <b>{value}</b></span>");
            }
        }
        html.push_str("</figcaption>");
        if self.curves.iter().all(|curve| curve.points.is_empty()) {
            html.push_str("<p class=\"none\">Nothing was recorded.</p></figure>");
            return html;
        }
        let _ = write!(
            html,
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-labelledby=\"{id}-t {id}-d\">\
             <title id=\"{id}-t\">{} over training time</title><desc id=\"{id}-d\">{}</desc>",
            escaped(self.title),
            escaped(&self.description())
        );
        self.draw(&mut html, seconds);
        html.push_str("</svg></figure>");
        html
    }

    /// The chart in words.
    fn description(&self) -> String {
        let mut words = String::new();
        for curve in &self.curves {
            let Some(((_, first), (_, last))) = curve.points.first().zip(curve.points.last())
            else {
                continue;
            };
            let values = || curve.points.iter().map(|(_, value)| *value);
            let low = values().fold(f64::INFINITY, f64::min);
            let high = values().fold(f64::NEG_INFINITY, f64::max);
            let [first, last, low, high] = [*first, *last, low, high].map(self.shown);
            let name = curve.name;
            let _ = write!(
                words,
                "{name}: from {first} to {last}, lowest {low}, highest {high}, {} points. ",
                curve.points.len()
            );
        }
        words.push_str("The tables below have the numbers.");
        words
    }

    fn draw(&self, html: &mut String, seconds: f64) {
        let values = self.curves.iter().flat_map(|curve| &curve.points).map(|(_, value)| *value);
        let steps = self.curves.iter().any(|curve| curve.style == Style::Steps);
        let vertical =
            if self.magnitudes { Axis::magnitudes(values) } else { Axis::linear(values, steps) };
        let horizontal = Axis::exact(0.0, seconds);
        let x = |time: f64| LEFT + horizontal.place(time) * (RIGHT - LEFT);
        let y = |value: f64| BOTTOM - vertical.place(value) * (BOTTOM - TOP);
        let stands = |tick: &f64| !self.whole || tick.fract().abs() < 1e-6;
        for tick in vertical.ticks(4.0).into_iter().filter(stands) {
            let (at, text) = (y(tick), escaped(&(self.shown)(tick)));
            let _ = write!(
                html,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
                 <text class=\"y\" x=\"{:.1}\" y=\"{:.1}\">{text}</text>",
                LEFT - 7.0,
                at + 4.0
            );
        }
        let (size, name) = unit(seconds);
        for (index, tick) in Axis::exact(0.0, seconds / size).ticks(5.0).iter().enumerate() {
            // The first says the unit of all.
            let text = if index == 0 { format!("0 {name}") } else { number(*tick) };
            let _ = write!(
                html,
                "<text class=\"x\" x=\"{:.1}\" y=\"{:.1}\">{text}</text>",
                x(tick * size),
                BOTTOM + 19.0
            );
        }
        for curve in &self.curves {
            let points = curve.points.iter().map(|(time, value)| (x(*time), y(*value)));
            curve.draw(html, &points.collect::<Vec<_>>());
            let at_mark = |(time, _): &&(f64, f64)| Some(*time) == self.mark;
            if let Some((time, value)) = curve.points.iter().find(at_mark)
                && curve.style == Style::Main
            {
                let (x, y) = (x(*time), y(*value));
                let _ = write!(
                    html,
                    "<circle class=\"mark\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\"/>\
                     <text class=\"x\" x=\"{x:.1}\" y=\"{:.1}\">best</text>",
                    // Errors have room below, accuracies above.
                    if self.magnitudes { y + 20.0 } else { y - 11.0 }
                );
            }
        }
        if vertical.is_logarithmic() {
            let _ = write!(
                html,
                "<text class=\"note\" x=\"{RIGHT}\" y=\"{:.1}\">logarithmic</text>",
                TOP + 6.0
            );
        }
    }
}

impl Curve {
    fn draw(&self, html: &mut String, points: &[(f64, f64)]) {
        let class = self.style.class();
        let mut path = String::new();
        if self.style == Style::Steps {
            let mut before = LEFT;
            for (index, (x, y)) in points.iter().enumerate() {
                let draw = if index == 0 { 'M' } else { 'L' };
                let _ = write!(path, "{draw}{before:.1} {y:.1}H{x:.1}");
                before = *x;
            }
            let _ = write!(
                html,
                "<path class=\"ground\" d=\"{path}V{BOTTOM}H{LEFT}Z\"/><path class=\"{class}\" d=\"{path}\"/>"
            );
            return;
        }
        for (index, (x, y)) in points.iter().enumerate() {
            let _ = write!(path, "{}{x:.1} {y:.1}", if index == 0 { 'M' } else { 'L' });
        }
        let _ = write!(html, "<path class=\"{class}\" d=\"{path}\"/>");
        let marked = if points.len() > MARKED_MAX { &points[points.len() - 1..] } else { points };
        for (x, y) in marked {
            let _ =
                write!(html, "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.6\"/>");
        }
    }
}

/// A number in few characters, with as many decimals as it needs.
pub(super) fn number(value: f64) -> String {
    let size = value.abs();
    let text = match size {
        _ if size >= 1e9 => return format!("{}G", number(value / 1e9)),
        _ if size >= 1e6 => return format!("{}M", number(value / 1e6)),
        _ if size >= 1e4 => return format!("{}k", number(value / 1e3)),
        _ if size >= 100.0 => format!("{value:.0}"),
        _ if size >= 10.0 => format!("{value:.1}"),
        _ if size >= 1.0 => format!("{value:.2}"),
        _ if size >= 0.01 || size == 0.0 => format!("{value:.3}"),
        _ if size >= 0.001 => format!("{value:.4}"),
        _ if size >= 1e-4 => format!("{value:.5}"),
        _ => return format!("{value:.1e}"),
    };
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let shown = [0.0, 0.25, 0.0023, 2e-5, 3.0, 98.5, 1234.0, 98_765.0, 2.5e6].map(number);
        assert_eq!(shown, ["0", "0.25", "0.0023", "2.0e-5", "3", "98.5", "1234", "98.8k", "2.5M"]);
    }

    #[test]
    fn a_chart_of_nothing_and_of_one_point_can_be_drawn() {
        let chart = |points| Chart {
            id: "c",
            title: "Loss",
            shown: number,
            magnitudes: true,
            whole: false,
            mark: None,
            curves: vec![Curve { name: "training", style: Style::Main, key: None, points }],
        };
        assert!(chart(vec![]).figure(0.0).contains("Nothing was recorded"));
        let one = chart(vec![(2.0, 0.5)]).figure(2.0);
        assert!(one.contains("<circle") && !one.contains("NaN") && !one.contains("inf"), "{one}");
        assert!(one.contains("from 0.5 to 0.5"), "{one}");
    }
}
