//! The messages of the one call, with no more of their fields than are read. What is left out is skipped when an
//! answer is decoded, the container's whole document among it.
//!
//! The numbers are those of containerd's api/services/containers/v1/containers.proto; they are the same from
//! containerd 1.0 to 2.3, and can't change within v1.

use std::collections::HashMap;

/// `containerd.services.containers.v1.GetContainerRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct GetContainerRequest {
    /// `string id = 1`
    #[prost(string, tag = "1")]
    pub(super) id: String,
}

/// `containerd.services.containers.v1.GetContainerResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct GetContainerResponse {
    /// `Container container = 1`
    #[prost(message, optional, tag = "1")]
    pub(super) container: Option<Container>,
}

/// `containerd.services.containers.v1.Container`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Container {
    /// `string id = 1`
    #[prost(string, tag = "1")]
    pub(super) id: String,
    /// `map<string, google.protobuf.Any> extensions = 10`
    #[prost(map = "string, message", tag = "10")]
    pub(super) extensions: HashMap<String, Any>,
}

/// `google.protobuf.Any` (google/protobuf/any.proto). containerd's typeurl puts JSON into the value of a Go type
/// that is no protobuf message. `type_url = 1`, which isn't needed, is then the Go type's path, on 1.6
/// `github.com/containerd/cri/pkg/store/container/Metadata`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Any {
    /// `bytes value = 2`
    #[prost(bytes = "vec", tag = "2")]
    pub(super) value: Vec<u8>,
}
