//! Manifests of Pods: `spec.containers[].resources`, and those of init containers. So that a manifest
//! can be fed as it is, everything else in it is passed over.
//!
//! As the API server does when it fills in defaults, a limit without a request gives the request. What is missing
//! altogether stays as it is: a manifest without a limit doesn't remove one; `none` does, which no API server would
//! take, and so no manifest holds by accident.

use serde_json::{Map, Value};

use crate::resize::amount::Limit;

use super::{Request, RequestError};

/// What a manifest asks of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The container's name.
    pub container: String,
    /// True for an init container that isn't a sidecar: it ends before the others begin.
    pub ends_by_itself: bool,
    /// What is asked. `ignored` names resources that no cgroup bounds, such as `limits.ephemeral-storage`.
    pub request: Request,
}

/// The Pods in some documents, of which each is a Pod or a list of Pods, as `kubectl get pods -o yaml` prints it.
///
/// # Errors
/// [`RequestError`] for a list without items, and where there is no Pod at all.
pub fn pods(documents: &[Value]) -> Result<Vec<&Value>, RequestError> {
    let mut pods = Vec::new();
    for document in documents {
        let list = matches!(document.get("kind").and_then(Value::as_str), Some("List" | "PodList"));
        match document.get("items").and_then(Value::as_array).filter(|_| list) {
            Some(items) => pods.extend(items),
            None if list => {
                return Err(RequestError::new("items", None, "there is no such list; write one of Pods"));
            }
            None => pods.push(document),
        }
    }
    if pods.is_empty() {
        return Err(RequestError::new("kind", None, "there is no Pod in it"));
    }
    Ok(pods)
}

/// Reads a Pod, already parsed from YAML or JSON. Containers without resources are left out.
///
/// # Errors
/// [`RequestError`] for what isn't a Pod, and for a quantity that can't be meant.
pub fn containers(pod: &Value) -> Result<Vec<Asked>, RequestError> {
    let kind = pod.get("kind").and_then(Value::as_str).unwrap_or("Pod");
    if kind != "Pod" {
        return Err(RequestError::new(
            "kind",
            Some(kind.to_owned()),
            "only a Pod can be applied; take one from the cluster",
        ));
    }
    let of_pod = pod.pointer("/spec/resources").and_then(Value::as_object);
    if let Some(name) = of_pod.and_then(|all| all.iter().find(|(_, value)| is_asked(value))) {
        return Err(RequestError::new(
            format!("spec.resources.{}", name.0),
            None,
            "limits of the pod itself can't be applied, they follow its containers'; take them out",
        ));
    }
    let list = |key: &str| pod.get("spec").and_then(|spec| spec.get(key));
    let wrong = || RequestError::new("spec.containers", None, "there is no such list; write one as in a Pod");
    let main = list("containers").and_then(Value::as_array).ok_or_else(wrong)?;
    let init = list("initContainers").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let ends = |container: &Value| container.get("restartPolicy").and_then(Value::as_str) != Some("Always");
    let init = init.iter().map(|container| (container, ends(container)));
    let mut all = Vec::new();
    for (container, ends_by_itself) in init.chain(main.iter().map(|container| (container, false))) {
        let name = container.get("name").and_then(Value::as_str).filter(|name| !name.is_empty());
        let name =
            name.ok_or_else(|| RequestError::new("spec.containers", None, "a container has no name"))?;
        if all.iter().any(|asked: &Asked| asked.container == name) {
            return Err(RequestError::new(
                "spec.containers",
                Some(name.to_owned()),
                "two containers have this name",
            ));
        }
        let request = match container.get("resources") {
            Some(resources) => resources_of(name, resources)?,
            None => Request::default(),
        };
        all.push(Asked { container: name.to_owned(), ends_by_itself, request });
    }
    all.retain(|asked| !asked.request.is_empty() || !asked.request.ignored.is_empty());
    Ok(all)
}

fn is_asked(value: &Value) -> bool {
    value.as_object().is_none_or(|map| !map.is_empty()) && !value.is_null()
}

/// One container's `resources`.
fn resources_of(container: &str, resources: &Value) -> Result<Request, RequestError> {
    let place = |error: RequestError| RequestError {
        name: format!("container {container}: {}", error.name),
        ..error
    };
    let map = |key| match resources.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(map)) => Ok(Some(map)),
        Some(_) => Err(place(RequestError::new(key, None, "it must be a map of resources to quantities"))),
    };
    let mut request = Request::default();
    request.manifest_map("requests", map("requests")?).map_err(place)?;
    request.manifest_map("limits", map("limits")?).map_err(place)?;
    if let (None, Some(Limit::At(limit))) = (request.cpu_request, request.cpu_limit) {
        request.cpu_request = Some(limit);
    }
    if let (None, Some(Limit::At(limit))) = (request.memory_request, request.memory_limit) {
        request.memory_request = Some(limit);
    }
    request.check().map_err(place)?;
    Ok(request)
}

impl Request {
    fn manifest_map(&mut self, kind: &str, map: Option<&Map<String, Value>>) -> Result<(), RequestError> {
        for (resource, quantity) in map.into_iter().flatten() {
            let name = format!("{kind}.{resource}");
            let text = match quantity {
                Value::String(text) => text.trim().to_owned(),
                Value::Number(number) => number.to_string(),
                _ => {
                    return Err(RequestError::new(name, None, "it must be a quantity such as 500m or 128Mi"));
                }
            };
            let rename = |error| RequestError { name: name.clone(), ..error };
            match (kind, resource.as_str(), resource.strip_prefix("hugepages-")) {
                ("requests", "cpu", _) => self.option("cpu-request", &text).map_err(rename)?,
                ("limits", "cpu", _) => self.option("cpu-limit", &text).map_err(rename)?,
                ("requests", "memory", _) => self.option("memory-request", &text).map_err(rename)?,
                ("limits", "memory", _) => self.option("memory-limit", &text).map_err(rename)?,
                ("limits", _, Some(size)) => {
                    self.option("hugepages", &format!("{size}={text}")).map_err(rename)?
                }
                // requests of huge pages equal their limits, by the API's own rule
                (_, _, Some(_)) => {}
                _ => self.ignored.push(name),
            }
        }
        Ok(())
    }
}
