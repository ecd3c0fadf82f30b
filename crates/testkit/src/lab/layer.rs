//! The fault layer: every request of either face passes here.
//!
//! It asks [`Faults`] for the request's plan, lets the face answer, waits until the first byte is due (counted from
//! the receipt of the head), edits the head, and gives the body its pace and its end.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Instant, sleep_until};

use super::Profile;
use super::body::{Effects, LabBody};
use super::link::{Ending, Link};
use super::pace::{Pace, transfer_time};
use super::target::Target;
use crate::bytes::block;
use crate::counts::Counters;
use crate::faults::{Before, Facts, FaultClass, Faults, HeadEdit, Plan, RetryAfter, WrongRange};
use crate::objects::now;
use crate::{Content, Objects, Op, fast};

/// What all connections of a lab share.
pub(crate) struct Shared {
    pub(crate) objects: Objects,
    pub(crate) faults: Faults,
    pub(crate) counters: Arc<Counters>,
    pub(crate) profile: Profile,
    pub(crate) handler: Handler,
    #[cfg(feature = "full")]
    pub(crate) tls: Option<super::tls::Tls>,
}

/// Who answers.
pub(crate) enum Handler {
    Fast,
    #[cfg(feature = "full")]
    Full(s3s::service::S3Service),
}

impl Shared {
    /// Answers one request. Dropped when the client goes away: then nothing more happens.
    pub(crate) async fn answer(&self, link: &Arc<Link>, mut request: Request<Incoming>) -> Response<LabBody> {
        let arrived = Instant::now() - link.take_lateness();
        let target = Target::of(&request);
        let in_flight = self.counters.begin(target.op, || target.path(), target.range);
        let facts = Facts {
            op: target.op,
            bucket: &target.bucket,
            key: &target.key,
            range: target.range,
        };
        let plan = self.faults.plan(&facts);

        if let Some(content) = &plan.replace {
            self.replace(&target, content.clone());
        }
        if plan.latency > Duration::ZERO {
            self.faults.count(FaultClass::Latency);
        }
        let first_byte = arrived + self.profile.first_byte + plan.latency;
        let mut stalled = Duration::ZERO;
        match plan.before {
            Before::Nothing => {}
            Before::Status(code, retry_after) => {
                self.faults.count(FaultClass::Status);
                // Else the codec closes the connection in the middle of an upload, and the client may never see why.
                while let Some(Ok(_)) = request.body_mut().frame().await {}
                sleep_until(first_byte).await;
                let mut response = error_status(code, retry_after);
                response.body_mut().set_in_flight(in_flight);
                return response;
            }
            Before::Stall(Some(resume)) => {
                self.faults.count(FaultClass::Stall);
                stalled = resume;
            }
            Before::Stall(None) => {
                self.faults.count(FaultClass::Stall);
                return std::future::pending().await;
            }
            Before::Reset => {
                sleep_until(first_byte).await;
                self.faults.count(FaultClass::Reset);
                link.end_now(Ending::Reset);
                return std::future::pending().await;
            }
        }

        let rate = self.rate(&plan);
        let uploaded = arrived + upload_time(&request, rate);
        self.count_overrides(&plan, &request);
        request.extensions_mut().insert(plan.overrides);
        let mut response = match &self.handler {
            Handler::Fast => fast::answer(&self.objects, &target, request).await,
            #[cfg(feature = "full")]
            Handler::Full(service) => crate::full::answer(service, request).await,
        };

        let due = first_byte.max(uploaded) + stalled;
        if due > arrived {
            sleep_until(due).await;
        }
        self.edit_head(&plan, &mut response);
        self.finish_body(&plan, rate, due, link, &mut response);
        response.body_mut().set_in_flight(in_flight);
        if target.op != Op::Head
            && let Some(total) = response.body().total()
        {
            response
                .headers_mut()
                .insert(header::CONTENT_LENGTH, total.into());
        }
        response
    }

    fn rate(&self, plan: &Plan) -> Option<u64> {
        if plan.bandwidth.is_some() {
            self.faults.count(FaultClass::Bandwidth);
        }
        [self.profile.bytes_per_second_per_connection, plan.bandwidth]
            .into_iter()
            .flatten()
            .min()
    }

    fn count_overrides(&self, plan: &Plan, request: &Request<Incoming>) {
        let given = |name| request.headers().contains_key(name);
        if plan.overrides.ignore_range && given(header::RANGE) {
            self.faults.count(FaultClass::WholeBody);
        }
        if plan.overrides.ignore_conditions && (given(header::IF_MATCH) || given(header::IF_NONE_MATCH)) {
            self.faults.count(FaultClass::IgnoreConditions);
        }
    }

    /// Puts a new version in the place of the object asked for, if there is one.
    fn replace(&self, target: &Target, content: Option<Content>) {
        if let Some(object) = self.objects.get(&target.bucket, &target.key) {
            let content = content.unwrap_or_else(|| other_pattern(&object.content));
            let mut attributes = object.attributes.clone();
            attributes.etag = None;
            self.objects
                .put_with(&target.bucket, &target.key, content, attributes);
            self.faults.count(FaultClass::Replace);
        }
    }

    fn edit_head(&self, plan: &Plan, response: &mut Response<LabBody>) {
        for edit in &plan.head {
            let (class, happened) = match edit {
                HeadEdit::ContentRange(wrong) => (FaultClass::ContentRange, wrong_range(response, *wrong)),
                HeadEdit::WrongETag(etag) => (FaultClass::WrongETag, wrong_etag(response, etag)),
                HeadEdit::MissingETag => (FaultClass::MissingETag, remove(response, header::ETAG)),
                HeadEdit::MissingLastModified => (
                    FaultClass::MissingLastModified,
                    remove(response, header::LAST_MODIFIED),
                ),
                HeadEdit::MissingContentLength => {
                    response.body_mut().forget_total();
                    remove(response, header::CONTENT_LENGTH);
                    (FaultClass::MissingContentLength, true)
                }
            };
            if happened {
                self.faults.count(class);
            }
        }
    }

    /// Only bodies of success suffer; an error document comes whole.
    fn finish_body(
        &self,
        plan: &Plan,
        rate: Option<u64>,
        start: Instant,
        link: &Arc<Link>,
        response: &mut Response<LabBody>,
    ) {
        if !response.status().is_success() {
            return;
        }
        if let Some(extra) = plan.extra {
            let extra = usize::try_from(extra).unwrap_or(usize::MAX).min(block().len());
            response.body_mut().extend(&block().slice(..extra));
            self.faults.count(FaultClass::ExtraBody);
        }
        if rate.is_none() && plan.cut.is_none() && plan.corrupt.is_none() {
            return;
        }
        let mut effects = Effects::new(Arc::clone(link), self.faults.clone());
        effects.pace = rate.map(|rate| Pace::new(start, rate));
        effects.cut = plan.cut;
        effects.corrupt = plan.corrupt;
        response.body_mut().set_effects(effects);
    }
}

/// An upload takes as long as the line lets it; the answer comes after that.
fn upload_time(request: &Request<Incoming>, rate: Option<u64>) -> Duration {
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse().ok());
    match (length, rate) {
        (Some(length), Some(rate)) => transfer_time(length, rate),
        _ => Duration::ZERO,
    }
}

fn other_pattern(content: &Content) -> Content {
    let seed = match content {
        Content::Pattern { seed, .. } => seed.wrapping_add(1),
        Content::Bytes(_) | Content::Chain(_) => 1,
    };
    Content::pattern(seed, content.size())
}

fn error_status(code: u16, retry_after: Option<RetryAfter>) -> Response<LabBody> {
    let name = match code {
        429 => "TooManyRequests",
        503 => "SlowDown",
        _ => "InternalError",
    };
    let mut response = fast::error_document(code, name, "an injected fault; try again");
    let retry_after = match retry_after {
        Some(RetryAfter::Seconds(seconds)) => HeaderValue::from(seconds),
        Some(RetryAfter::Date(from_now)) => {
            let date = httpdate::fmt_http_date(now() + from_now);
            HeaderValue::try_from(date).unwrap_or_else(|_| HeaderValue::from_static("0"))
        }
        None => return response,
    };
    response.headers_mut().insert(header::RETRY_AFTER, retry_after);
    response
}

fn remove(response: &mut Response<LabBody>, name: header::HeaderName) -> bool {
    response.headers_mut().remove(name).is_some()
}

fn wrong_etag(response: &mut Response<LabBody>, etag: &str) -> bool {
    match HeaderValue::try_from(etag) {
        Ok(value) if response.headers().contains_key(header::ETAG) => {
            response.headers_mut().insert(header::ETAG, value);
            true
        }
        _ => false,
    }
}

fn wrong_range(response: &mut Response<LabBody>, wrong: WrongRange) -> bool {
    if response.status() != StatusCode::PARTIAL_CONTENT {
        return false;
    }
    let given = response
        .headers()
        .get(header::CONTENT_RANGE)
        .and_then(|value| value.to_str().ok());
    let Some((first, last, total)) = given.and_then(parse_content_range) else {
        return false;
    };
    let text = match wrong {
        WrongRange::Missing => return remove(response, header::CONTENT_RANGE),
        WrongRange::Unparsable => "bytes some of them".to_owned(),
        WrongRange::UnknownTotal => format!("bytes {first}-{last}/*"),
        WrongRange::Total(by) => format!("bytes {first}-{last}/{}", total.saturating_add_signed(by)),
        WrongRange::Shifted(by) => {
            format!(
                "bytes {}-{}/{total}",
                first.saturating_add_signed(by),
                last.saturating_add_signed(by)
            )
        }
    };
    let Ok(value) = HeaderValue::try_from(text) else {
        return false;
    };
    response.headers_mut().insert(header::CONTENT_RANGE, value);
    true
}

fn parse_content_range(text: &str) -> Option<(u64, u64, u64)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?, total.parse().ok()?))
}
