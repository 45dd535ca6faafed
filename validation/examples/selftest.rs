//! Prints the table of the instrument's self-test, as Markdown: `cargo run --release -p fathom-validation --example selftest`.

use fathom_validation::selftest::{DAMAGES, check};

fn main() -> Result<(), fathom_validation::ValidationError> {
    let n = std::env::args().nth(1).and_then(|a| a.parse().ok()).unwrap_or(4900);
    println!("Mock field of {n} places on a grid, every fifth a pair.\n");
    println!("| damage | figure | expected | tolerance | measured | n | holds |");
    println!("|---|---|---|---|---|---|---|");
    for damage in DAMAGES {
        for c in check(damage, n)? {
            let [name, band, class, regime] = c.record;
            let of = [band, class, regime].into_iter().filter(|s| !s.is_empty()).collect::<Vec<_>>().join(", ");
            let name = if of.is_empty() { format!("`{name}`") } else { format!("`{name}` ({of})") };
            let value = c.found.value.map_or("not measured".to_owned(), |v| format!("{v:.6}"));
            let holds = if c.holds() { "yes" } else { "**NO**" };
            println!("| {damage:?} | {name} | {:.6} | {:.0e} | {value} | {} | {holds} |", c.expected, c.tolerance, c.found.n);
        }
    }
    Ok(())
}
