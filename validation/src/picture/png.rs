//! PNG files in memory.

use png::{BitDepth, ColorType, Compression, Encoder};

/// Three bytes a pixel, rows from the top.
pub(crate) fn rgb(width: usize, height: usize, bytes: &[u8]) -> Vec<u8> {
    encode(width, height, ColorType::Rgb, bytes, None)
}

/// One byte a pixel that picks a colour (red, green, blue, opacity) of `colours`.
pub(crate) fn indexed(width: usize, height: usize, bytes: &[u8], colours: &[[u8; 4]]) -> Vec<u8> {
    encode(width, height, ColorType::Indexed, bytes, Some(colours))
}

fn encode(width: usize, height: usize, kind: ColorType, bytes: &[u8], colours: Option<&[[u8; 4]]>) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, width as u32, height as u32);
    encoder.set_color(kind);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(Compression::Default);
    if let Some(colours) = colours {
        encoder.set_palette(colours.iter().flat_map(|c| [c[0], c[1], c[2]]).collect::<Vec<u8>>());
        encoder.set_trns(colours.iter().map(|c| c[3]).collect::<Vec<u8>>());
    }
    let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(bytes));
    written.expect("a buffer in memory takes all bytes, and there are as many as pixels");
    file
}
