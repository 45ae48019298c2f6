//! One key as a route: its place, and what it is activated by.

use std::fmt;
use std::sync::Arc;

use beluga_core::{BoxFuture, Result};

use super::Activator;
use super::place::Hold;
use super::table::Table;
use crate::delivery::Resolve;
use crate::ground::Ground;
use crate::protocol::Protocol;
use crate::slot::Slot;

pub(super) struct Key<P> {
    hold: Hold,
    activator: Arc<dyn Activator<P>>,
}

impl<P> Key<P> {
    pub(super) fn new(hold: Hold, activator: Arc<dyn Activator<P>>) -> Self {
        Self { hold, activator }
    }
}

impl<P: Protocol> Resolve for Key<P> {
    fn active(&self) -> Option<Arc<Slot>> {
        self.hold.place.active()
    }

    fn activate(&self) -> BoxFuture<'static, Result<Arc<Slot>>> {
        Box::pin(Table::activate(self.hold.clone(), Arc::clone(&self.activator)))
    }

    fn ground(&self) -> &Arc<Ground> {
        self.hold.table.ground()
    }

    fn name(&self) -> &str {
        self.hold.place.name()
    }

    fn kind(&self) -> &'static str {
        self.hold.table.places().kind()
    }
}

impl<P> fmt::Debug for Key<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.hold.place.name())
    }
}
