//! Tools that do I/O.

mod allow_list;
mod http;
mod page;

pub use allow_list::AllowList;
pub use http::{HttpTool, HttpToolSettings, REDIRECTS_MAX};
