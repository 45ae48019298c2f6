use beluga_core::{BoxFuture, Result};
use beluga_runtime::{Address, Protocol, Ref, Spec, System};
use std::sync::Arc;
use std::time::Duration;
pub(crate) struct Activation<P: Protocol> {
    pub(crate) supervisor: Address,
    pub(crate) spec: Spec<P>,
}
pub(crate) trait Activator<P: Protocol>: Send + Sync + 'static {
    fn activate<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Activation<P>>>;
}
pub(crate) struct Family<P>(std::marker::PhantomData<fn(P)>);
impl<P> Clone for Family<P> {
    fn clone(&self) -> Self {
        todo!()
    }
}
pub(crate) struct FamilyOptions {
    pub(crate) idle_after: Duration,
    pub(crate) max_active: usize,
}
impl<P: Protocol> Family<P> {
    pub(crate) fn resolve(&self, _: impl Into<Arc<str>>, _: Arc<dyn Activator<P>>) -> Ref<P> {
        todo!()
    }
    pub(crate) fn len(&self) -> usize {
        0
    }
}
pub(crate) trait FamilyExt {
    fn family<P: Protocol>(&self, kind: &'static str, o: FamilyOptions) -> Result<Family<P>>;
}
impl FamilyExt for System {
    fn family<P: Protocol>(&self, _: &'static str, _: FamilyOptions) -> Result<Family<P>> {
        todo!()
    }
}
