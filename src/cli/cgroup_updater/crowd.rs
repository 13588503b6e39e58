//! Many pods looked at side by side: each is a hundred small system calls that wait for nobody.

use super::exit::Halt;

/// Fewer than this for each thread aren't worth one.
const LEAST: usize = 8;

/// The results of `work` for all items, in their order.
///
/// # Errors
/// The first error in that order.
pub(super) fn side_by_side<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> Result<R, Halt> + Sync,
) -> Result<Vec<R>, Halt> {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = cpus.min(items.len() / LEAST);
    if threads < 2 {
        return items.iter().map(work).collect();
    }
    let part = |items: &[T]| items.iter().map(&work).collect::<Result<Vec<R>, Halt>>();
    let parts = std::thread::scope(|scope| {
        let chunks = items.chunks(items.len().div_ceil(threads));
        let running: Vec<_> = chunks.map(|chunk| scope.spawn(|| part(chunk))).collect();
        running.into_iter().map(|one| one.join()).collect::<Vec<_>>()
    });
    let mut all = Vec::with_capacity(items.len());
    for part in parts {
        // a panic goes on in this thread
        all.extend(part.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_and_the_first_error_come_in_the_order_of_the_items() {
        let items: Vec<u32> = (0..1000).collect();
        let doubled = side_by_side(&items, |item| Ok(item * 2)).unwrap();
        assert!(doubled.iter().zip(&items).all(|(double, item)| *double == item * 2));
        assert_eq!(doubled.len(), 1000);
        let refuse = |item: &u32| if item % 300 == 299 { Err(Halt::usage(item.to_string())) } else { Ok(()) };
        assert_eq!(side_by_side(&items, refuse).unwrap_err().message, "299");
    }
}
