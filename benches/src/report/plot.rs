use std::error::Error;

use plotters::{
    coord::Shift,
    drawing::DrawingArea,
    element::{Circle, PathElement, Text},
    prelude::{IntoDrawingArea, SVGBackend},
    style::{
        Color, IntoFont, RGBColor, ShapeStyle, TextStyle,
        text_anchor::{HPos, Pos, VPos},
    },
};

use crate::{
    group::Role,
    results::{Measured, MeasuredRow},
};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const WIDTH: i32 = 760;
const LINE: i32 = 22;
const TOP: i32 = 48;
/// Where the axis ends.
const RIGHT: i32 = WIDTH - 64;
/// At most, of a letter.
const LETTER: i32 = 8;

// On nothing, in colours that can be read on white and on black.
const WORDS: RGBColor = RGBColor(128, 128, 128);
const OURS: RGBColor = RGBColor(46, 160, 67);
const DOTS: [RGBColor; 4] = [
    RGBColor(56, 132, 244),
    RGBColor(219, 109, 40),
    RGBColor(163, 113, 247),
    RGBColor(191, 135, 0),
];

/// Draws a line for each row, and on it a dot for each setting, over a logarithmic axis.
pub(super) fn draw(scenario: &Measured) -> Result<String, Box<dyn Error>> {
    let rows = &scenario.rows;
    let height = TOP + LINE * rows.len() as i32 + 8;
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, (WIDTH as u32, height as u32));
    let area = area.into_drawing_area();

    let longest = rows.iter().map(|it| it.name.len()).max().unwrap_or(0);
    let names = LETTER * longest as i32;
    let left = names + 16;

    let all = || rows.iter().flat_map(medians);
    let first = all().fold(f64::INFINITY, f64::min).log10().floor();
    let last = all().fold(0.0, f64::max).log10().ceil();
    let x = |nanoseconds: f64| {
        let share = (nanoseconds.log10() - first) / (last - first).max(1.0);
        left + (share * f64::from(RIGHT - left)).round() as i32
    };

    let mut right = RIGHT;
    for (setting, colour) in rows[0].times.iter().zip(DOTS).rev() {
        words(&area, &setting.setting, (right, 12), HPos::Right, colour)?;
        right -= 12 + LETTER * setting.setting.len() as i32;
    }
    words(&area, "ns for a call", (left, 12), HPos::Left, WORDS)?;
    for power in first as i32..=last as i32 {
        let tick = x(10_f64.powi(power));
        let line = vec![(tick, TOP - 4), (tick, height - 8)];
        area.draw(&PathElement::new(line, WORDS.mix(0.3)))?;
        let number = 10_f64.powi(power).to_string();
        words(&area, &number, (tick, TOP - 14), HPos::Center, WORDS)?;
    }
    for (row, y) in rows.iter().zip((TOP + LINE / 2..).step_by(LINE as usize)) {
        let colour = if row.role == Role::Ours { OURS } else { WORDS };
        words(&area, &row.name, (names, y), HPos::Right, colour)?;
        let line: Vec<_> = medians(row).map(|it| (x(it), y)).collect();
        area.draw(&PathElement::new(line.clone(), colour.mix(0.6)))?;
        for (place, colour) in line.into_iter().zip(DOTS) {
            area.draw(&Circle::new(place, 5, ShapeStyle::from(colour).filled()))?;
        }
    }
    area.present()?;
    drop(area);
    Ok(svg)
}

fn medians(row: &MeasuredRow) -> impl Iterator<Item = f64> {
    row.times.iter().map(|it| it.nanoseconds.median)
}

fn words(
    area: &Area<'_>,
    text: &str,
    place: (i32, i32),
    anchor: HPos,
    colour: RGBColor,
) -> Result<(), Box<dyn Error>> {
    let style = TextStyle::from(("sans-serif", 15).into_font()).color(&colour);
    let style = style.pos(Pos::new(anchor, VPos::Center));
    Ok(area.draw(&Text::new(text, place, style))?)
}
