//! Judges a container that is about to be created.

use super::annotation::{self, GROUPS_KEY, LEVEL_KEY};
use super::capability::CapabilitySets;
use super::gid::{Gid, GidSet, NGROUPS_MAX};
use super::level::{GROUP_EQUIVALENT, Level, SEALED_OUT};
use super::reason::Reason;
use super::rules::{AnnotationMode, Policy, PrimaryGid, Rules, VulnerableRuntime, within};
use super::subject::{Declared, ImageGroups, Process, Subject};
use super::verdict::{Change, Edits, Finding, Identity, Limits, Origin, Rule, Ruling, Verdict, changed};
use super::{capability, sealed_out};
use crate::quote::{escaped, quoted};

/// Judges `subject` by `policy`.
///
/// A container may have its primary group and, beside it: the groups that the annotation lists, each of them
/// authorised; or, without an annotation, the groups that the pod declares; or, where that can't be known, those
/// that can't have come from the image. Anything that makes this unclear is a [`Verdict::Deny`].
pub fn decide(subject: &Subject, policy: &Policy) -> Verdict {
    match judge(subject, policy) {
        Ok(verdict) => verdict,
        Err(reason) => Verdict::Deny(reason),
    }
}

fn judge(subject: &Subject, policy: &Policy) -> Result<Verdict, Reason> {
    if let Some(key) = subject.hostile_annotation {
        return Err(Reason::HostileAnnotation(key));
    }
    let rules = policy.rules(subject.pod.namespace.as_deref());
    if rules.undecided_ceiling {
        return Err(Reason::CeilingWithoutNamespace { config: policy.config.clone() });
    }
    let mut findings = Vec::new();
    let level = level(subject, rules.level, &mut findings)?;
    let primary = Gid::new(subject.process.gid).ok_or(Reason::GidTooLarge(subject.process.gid))?;
    // The annotation chooses for the pod's containers, and the pod declares for them. The pause program beside them
    // gets none of it; else an annotation with a declared gid would stop every pod at its sandbox.
    let requested = requested(subject)?.filter(|_| !subject.sandbox);

    let rulings =
        Bench { subject, policy, rules: &rules, primary, requested: requested.as_ref() }.rule_all()?;
    let groups: GidSet = rulings.iter().filter(|r| r.kept).filter_map(|r| Gid::new(r.gid)).collect();

    check_ceilings(&groups, primary, &rules, policy)?;
    if groups.len() > NGROUPS_MAX {
        return Err(Reason::TooManyGroups(groups.len()));
    }
    if let Some(gid) = groups.iter().find(|g| !mapped(subject, *g)) {
        return Err(Reason::NotMapped(gid.get()));
    }
    check_primary(subject, policy, &rulings, primary, &mut findings)?;
    check_lookup(subject, policy, &mut findings)?;
    if level >= Level::Paranoid && !subject.sandbox {
        refuse_paranoid(&subject.process)?;
    }

    let edits = edits(subject, &groups, level, &mut findings);
    let mut identity = Identity {
        uid: subject.process.uid,
        gid: primary,
        no_new_privileges: edits.no_new_privileges.unwrap_or(subject.process.no_new_privileges),
        bounding: bounding(&edits, &subject.process.capabilities),
        level,
        limits: Limits {
            ceilings: rules.ceilings.iter().map(|c| c.to_vec()).collect(),
            allow: rules.allow.clone(),
            deny_undeclared_primary: policy.primary_gid == PrimaryGid::Deny,
        },
        rulings,
        findings,
        groups,
    };
    look(&mut identity);
    Ok(if edits.is_empty() { Verdict::Keep(identity) } else { Verdict::Change(Change { identity, edits }) })
}

/// The highest level that anyone asks for.
fn level(subject: &Subject, configured: Level, findings: &mut Vec<Finding>) -> Result<Level, Reason> {
    let Some(text) = &subject.requested_level else { return Ok(configured) };
    let requested = Level::parse(text.trim()).ok_or_else(|| Reason::Annotation {
        key: LEVEL_KEY,
        why: format!("{} is no level; write groups, sealed or paranoid", quoted(text.as_bytes())),
    })?;
    if requested < configured {
        findings.push(Finding::LevelNotLowered { requested });
    }
    Ok(requested.max(configured))
}

fn requested(subject: &Subject) -> Result<Option<GidSet>, Reason> {
    let parse = |text: &String| annotation::parse_groups(text);
    let parsed = subject.requested_groups.as_ref().map(parse).transpose();
    parsed.map_err(|why| Reason::Annotation { key: GROUPS_KEY, why })
}

/// Where a gid is judged: what is known of the container, and the rules that match it.
struct Bench<'s> {
    subject: &'s Subject,
    policy: &'s Policy,
    rules: &'s Rules<'s>,
    primary: Gid,
    requested: Option<&'s GidSet>,
}

impl Bench<'_> {
    /// Rules on every gid that anybody names, ascending.
    fn rule_all(&self) -> Result<Vec<Ruling>, Reason> {
        let mut named: Vec<u32> = self.subject.process.groups.clone();
        named.push(self.primary.get());
        named.extend(self.requested.iter().flat_map(|set| set.iter()).map(Gid::get));
        if let Declared::Known { groups, .. } = &self.subject.declared {
            named.extend(groups.iter().map(Gid::get));
        }
        named.sort_unstable();
        named.dedup();
        named.into_iter().map(|gid| self.rule_on(gid)).collect()
    }

    /// Keeps or drops one gid, or refuses the container for it.
    fn rule_on(&self, gid: u32) -> Result<Ruling, Reason> {
        let origins = self.origins(gid);
        let (kept, rule) = self.rule(gid, &origins)?;
        Ok(Ruling { gid, origins, kept, rule })
    }

    fn rule(&self, gid: u32, origins: &[Origin]) -> Result<(bool, Rule), Reason> {
        let has = |origin: &Origin| origins.contains(origin);
        if has(&Origin::Primary) {
            return Ok((true, Rule::Primary));
        }
        if self.requested.is_some() {
            if !has(&Origin::Annotation) {
                return Ok((false, Rule::NotAnnotated));
            }
            let authorised = self.policy.annotation == AnnotationMode::Trusted
                || has(&Origin::Node)
                || has(&Origin::Declared)
                || has(&Origin::Residual);
            return if authorised { Ok((true, Rule::Annotated)) } else { Err(self.unauthorised(gid)) };
        }
        if has(&Origin::Declared) {
            return Ok((true, Rule::Declared));
        }
        let known = matches!(self.subject.declared, Declared::Known { .. });
        if !known && has(&Origin::Residual) {
            return Ok((true, Rule::Residual));
        }
        if Gid::new(gid).is_some_and(|g| within(&self.rules.keep, g)) {
            // Nobody asked for it by name, so a ceiling drops it instead of refusing the container.
            let under = Gid::new(gid).is_some_and(|g| self.rules.ceilings.iter().all(|c| within(c, g)));
            return Ok(if under { (true, Rule::NodeKeep) } else { (false, Rule::OutsideCeiling) });
        }
        let rule = match origins.iter().any(|o| matches!(o, Origin::Image(_))) {
            true => Rule::FromImage,
            false if known => Rule::NotDeclared,
            false => Rule::Unknown,
        };
        Ok((false, rule))
    }

    /// Everything that can be said of where a gid comes from.
    fn origins(&self, raw: u32) -> Vec<Origin> {
        let mut origins = Vec::with_capacity(2);
        let gid = Gid::new(raw);
        if raw == self.primary.get() {
            origins.push(Origin::Primary);
        }
        if let (Declared::Known { groups, .. }, Some(gid)) = (&self.subject.declared, gid)
            && groups.contains(gid)
        {
            origins.push(Origin::Declared);
        }
        if gid.is_some_and(|g| within(&self.rules.allow, g)) {
            origins.push(Origin::Node);
        }
        if gid.is_some_and(|g| self.requested.is_some_and(|set| set.contains(g))) {
            origins.push(Origin::Annotation);
        }
        if self.subject.process.groups.contains(&raw) {
            origins.push(self.merged_origin(raw, gid));
        }
        origins
    }

    /// Where a gid of the engine's merged list comes from.
    fn merged_origin(&self, raw: u32, gid: Option<Gid>) -> Origin {
        let residual = || {
            // 0 is what an engine makes of garbage, and a gid above the limit is nobody's wish.
            let plausible = raw != 0 && gid.is_some();
            if self.policy.residual && plausible { Origin::Residual } else { Origin::Merged }
        };
        match &self.subject.image {
            ImageGroups::Unusable(_) => Origin::Merged,
            ImageGroups::Absent => residual(),
            ImageGroups::Read(found) => match found.iter().find(|g| g.gid == raw) {
                Some(group) => Origin::Image(escaped(&group.name)),
                None => residual(),
            },
        }
    }

    fn unauthorised(&self, gid: u32) -> Reason {
        Reason::Unauthorised {
            gid,
            namespace: self.subject.pod.namespace.clone(),
            config: self.policy.config.clone(),
        }
    }
}

fn check_ceilings(groups: &GidSet, primary: Gid, rules: &Rules<'_>, policy: &Policy) -> Result<(), Reason> {
    let outside = |gid: &Gid| rules.ceilings.iter().any(|c| !within(c, *gid));
    match groups.iter().find(outside) {
        None => Ok(()),
        Some(gid) => Err(Reason::OutsideCeiling {
            gid: gid.get(),
            primary: gid == primary,
            config: policy.config.clone(),
        }),
    }
}

fn mapped(subject: &Subject, gid: Gid) -> bool {
    subject.gid_mappings.is_empty() || subject.gid_mappings.iter().any(|m| m.contains(gid.get()))
}

/// The primary gid comes from the image's etc/passwd where the pod doesn't set runAsGroup. It is never changed,
/// only judged, and only where it is known that nobody declared it.
fn check_primary(
    subject: &Subject,
    policy: &Policy,
    rulings: &[Ruling],
    primary: Gid,
    findings: &mut Vec<Finding>,
) -> Result<(), Reason> {
    let Declared::Known { primary: false, .. } = subject.declared else { return Ok(()) };
    let trusted = policy.annotation == AnnotationMode::Trusted;
    let authority = |o: &Origin| {
        matches!(o, Origin::Declared | Origin::Node) || (trusted && matches!(o, Origin::Annotation))
    };
    let declared = rulings.iter().any(|r| r.gid == primary.get() && r.origins.iter().any(authority));
    if declared {
        return Ok(());
    }
    if policy.primary_gid == PrimaryGid::Deny {
        return Err(Reason::UndeclaredPrimary(primary.get()));
    }
    findings.push(Finding::UndeclaredPrimary { gid: primary.get() });
    Ok(())
}

/// On a runtime that looks gids up by name, nothing may redirect the lookup.
fn check_lookup(subject: &Subject, policy: &Policy, findings: &mut Vec<Finding>) -> Result<(), Reason> {
    let Some(runtime) = &subject.runtime.looks_up_names else { return Ok(()) };
    if policy.vulnerable_runtime == VulnerableRuntime::Refuse {
        return Err(Reason::VulnerableRuntime { runtime: runtime.clone() });
    }
    if let Some(trap) = &subject.runtime.trap {
        return Err(Reason::Lookup { runtime: runtime.clone(), trap: trap.clone() });
    }
    findings.push(Finding::VulnerableRuntime { runtime: runtime.clone() });
    Ok(())
}

/// What level paranoid refuses, by name. A sandbox is exempt: what it runs is the administrator's choice, and
/// containerd gives it uid 0 and its default capabilities whatever the pod says.
pub(super) fn refuse_paranoid(process: &Process) -> Result<(), Reason> {
    if process.uid == 0 {
        return Err(Reason::RootUser);
    }
    if let Some(cap) = GROUP_EQUIVALENT.iter().find(|c| process.capabilities.contain(**c)) {
        return Err(Reason::GroupEquivalent(*cap));
    }
    Ok(())
}

fn edits(subject: &Subject, groups: &GidSet, level: Level, findings: &mut Vec<Finding>) -> Edits {
    let process = &subject.process;
    let mut edits = Edits::default();
    if !groups.is_exactly(&process.groups) {
        edits.groups = Some(groups.clone());
    }
    if subject.rootless && process.groups.is_empty() && groups.len() == 1 {
        // Without root there is no setgroups(2): runc refuses a list, and the process keeps the caller's groups.
        edits.groups = None;
        findings.push(Finding::GroupsNotSettable);
    }
    if level >= Level::Sealed {
        edits.no_new_privileges = (!process.no_new_privileges).then_some(true);
        edits.capabilities = changed(&process.capabilities, sealed_out);
    }
    edits
}

fn bounding(edits: &Edits, sets: &CapabilitySets) -> Vec<String> {
    edits.capabilities.first().and_then(Clone::clone).unwrap_or_else(|| sets.bounding().to_vec())
}

/// Adds what deserves a look in the result itself.
pub(super) fn look(identity: &mut Identity) {
    if identity.uid == 0 {
        identity.findings.push(Finding::RootUser);
    }
    if identity.groups.contains(Gid::ROOT) {
        identity.findings.push(Finding::RootGroup);
    }
    // AUTH_SYS carries the primary gid apart from the 16 (RFC 5531).
    let carried = identity.groups.iter().filter(|g| *g != identity.gid).count();
    if carried > 16 {
        identity.findings.push(Finding::ManyGroups { count: carried });
    }
    if !identity.no_new_privileges && SEALED_OUT.iter().any(|c| capability::names(&identity.bounding, *c)) {
        identity.findings.push(Finding::GroupsCanChange);
    }
}
