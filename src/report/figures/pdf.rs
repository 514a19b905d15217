//! SVG as PDF.

use krilla::configure::{Configuration, PdfVersion};
use krilla::geom::Size;
use krilla::page::PageSettings;
use krilla::{Document, SerializeSettings};
use krilla_svg::{SurfaceExt, SvgSettings};
use resvg::usvg::Tree;

/// A page with a drawing on it and no room around; `scale` is the points in one of its pixels.
///
/// The same bytes for the same drawing: there is no date and no random name in it.
pub(super) fn page(tree: &Tree, scale: f32) -> Vec<u8> {
    let [width, height] = [tree.size().width(), tree.size().height()].map(|side| side * scale);
    let size = Size::from_wh(width, height).expect("a figure of some size");
    let mut document = Document::new_with(SerializeSettings {
        // It would say when the file was made.
        xmp_metadata: false,
        // pdfTeX warns of later versions.
        configuration: Configuration::new_with_version(PdfVersion::Pdf15),
        // There are no tags, which would say what is a heading and what is a table.
        enable_tagging: false,
        ..SerializeSettings::default()
    });
    let mut page = document.start_page_with(PageSettings::new(size));
    let mut surface = page.surface();
    let drawn = surface.draw_svg(tree, size, SvgSettings::default());
    drawn.expect("an SVG written by this module");
    surface.finish();
    page.finish();
    document.finish().expect("a page with a drawing on it")
}
