//! The extensions that adapters negotiate by themselves: permessage-deflate, if it is built in and
//! [`Config`](crate::Config) turns it on.
//!
//! One that the caller has put into a request or an acceptance stays as it is, and what comes of it
//! is obeyed.

#[cfg(feature = "deflate")]
mod deflate {
    use crate::{
        Config, Connection, Error,
        deflate::{self, DeflateParams},
        handshake::{
            Acceptance, ClientHandshakeError, Extension, InvalidAcceptance, Request, Response,
            UpgradeRequest,
        },
    };
    use alloc::{borrow::Cow, vec::Vec};

    /// What was agreed on.
    pub(in crate::io) struct Agreed(Option<DeflateParams>);

    impl Agreed {
        pub(in crate::io) fn apply(self, connection: &mut Connection) {
            if let Some(params) = self.0 {
                let started = connection.start_deflate(params);
                debug_assert!(started.is_ok(), "{started:?}"); // the connection is new
            }
        }
    }

    /// The request with our offers, and all that it offers then.
    pub(in crate::io) fn offer(config: &Config, mut request: Request) -> (Request, Vec<Extension>) {
        let Some(settings) = &config.deflate else { return (request, Vec::new()) };
        if deflate::ours(request.extensions()).next().is_none() {
            request = settings.offers().into_iter().fold(request, Request::extension);
        }
        let offers = request.extensions().to_vec();
        (request, offers)
    }

    /// What the response to these offers comes to.
    pub(in crate::io) fn agreed(
        config: &Config,
        offers: Vec<Extension>,
        response: &Response,
    ) -> Result<Agreed, Error> {
        if config.deflate.is_none() {
            return Ok(Agreed(None));
        }
        let agreed = deflate::agreed(&offers, response.extensions());
        Ok(Agreed(agreed.map_err(ClientHandshakeError::Deflate)?))
    }

    /// The acceptance with our answer, and what it comes to.
    pub(in crate::io) fn accept<'a>(
        config: &Config,
        request: &UpgradeRequest,
        acceptance: &'a Acceptance,
    ) -> Result<(Cow<'a, Acceptance>, Agreed), Error> {
        let Some(settings) = &config.deflate else {
            return Ok((Cow::Borrowed(acceptance), Agreed(None)));
        };
        if deflate::ours(acceptance.extensions()).next().is_some() {
            // One that nobody offered is for the handshake to refuse.
            let offered = deflate::ours(request.extensions()).next().is_some();
            let agreed = match offered {
                true => deflate::agreed(request.extensions(), acceptance.extensions()),
                false => Ok(None),
            };
            let agreed = agreed.map_err(InvalidAcceptance::Deflate)?;
            return Ok((Cow::Borrowed(acceptance), Agreed(agreed)));
        }
        let Some(params) = settings.accept(request.extensions()) else {
            return Ok((Cow::Borrowed(acceptance), Agreed(None)));
        };
        let acceptance = acceptance.clone().extension(params.to_extension());
        Ok((Cow::Owned(acceptance), Agreed(Some(params))))
    }
}

#[cfg(feature = "deflate")]
pub(super) use deflate::{Agreed, accept, agreed, offer};

#[cfg(not(feature = "deflate"))]
mod none {
    use crate::{
        Config, Connection, Error,
        handshake::{Acceptance, Request, Response, UpgradeRequest},
    };
    use alloc::borrow::Cow;

    pub(in crate::io) struct Agreed;

    impl Agreed {
        pub(in crate::io) fn apply(self, _: &mut Connection) {}
    }

    pub(in crate::io) fn offer(_: &Config, request: Request) -> (Request, ()) {
        (request, ())
    }

    pub(in crate::io) fn agreed(_: &Config, (): (), _: &Response) -> Result<Agreed, Error> {
        Ok(Agreed)
    }

    pub(in crate::io) fn accept<'a>(
        _: &Config,
        _: &UpgradeRequest,
        acceptance: &'a Acceptance,
    ) -> Result<(Cow<'a, Acceptance>, Agreed), Error> {
        Ok((Cow::Borrowed(acceptance), Agreed))
    }
}

#[cfg(not(feature = "deflate"))]
pub(super) use none::{Agreed, accept, agreed, offer};
