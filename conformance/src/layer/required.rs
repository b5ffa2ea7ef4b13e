//! Layers that have to run.

/// The layers whose absence is red.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Required {
    /// Red when this layer cannot run here. May be given again.
    #[arg(
        long = "require",
        value_name = "LAYER",
        env = "EMILY_CONFORMANCE_REQUIRE",
        value_delimiter = ','
    )]
    pub required: Vec<String>,
}
