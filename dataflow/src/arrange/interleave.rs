//! Two lists that become one, column by column: which is next is found out once and not for each column.

/// What comes out of two lists, each read from a place on. (Arrow's *interleave* of two arrays.)
#[derive(Default)]
pub struct Interleaving {
    from: [usize; 2],
    next: Vec<Next>,
}

#[derive(Clone, Copy)]
struct Next {
    /// 0 or 1.
    list: u8,
    /// From [`Interleaving::from`] on.
    behind: u32,
}

impl Interleaving {
    /// Nothing yet, out of lists that are read from here on.
    pub fn begin(&mut self, from: [usize; 2]) {
        self.from = from;
        self.next.clear();
    }

    /// Next comes what is at this place of this list (0 or 1), not 2³² places behind where it is read from.
    #[inline]
    pub fn push(&mut self, list: usize, at: usize) {
        self.next.push(Next { list: list as u8, behind: (at - self.from[list]) as u32 });
    }

    /// How many come out.
    #[inline]
    pub fn len(&self) -> usize {
        self.next.len()
    }

    /// True when nothing comes out.
    pub fn is_empty(&self) -> bool {
        self.next.is_empty()
    }

    /// The lists and places of what comes out.
    #[inline]
    pub fn places(&self) -> impl ExactSizeIterator<Item = (usize, usize)> {
        self.next.iter().map(|next| (usize::from(next.list), self.from[usize::from(next.list)] + next.behind as usize))
    }

    /// What comes out of these lists, and of which each is.
    #[inline]
    pub fn of<T: Copy>(&self, lists: [&[T]; 2]) -> impl ExactSizeIterator<Item = (T, usize)> {
        let lists = [0, 1].map(|list| lists[list].get(self.from[list]..).unwrap_or_default());
        self.next.iter().map(move |next| {
            let list = usize::from(next.list & 1);
            (lists[list][next.behind as usize], list)
        })
    }
}
