//! All bytes in one buffer.

use std::io;

use bytes::{Bytes, BytesMut};

use crate::error::RangeError;
use crate::read::Opened;
use crate::state::{Held, PartOut};
use crate::stats::RangeStats;

/// The piece of the buffer that one part fills: cut from it, so no other part can reach it, and joined again without
/// a copy, because the pieces lie side by side.
struct Piece {
    start: u64,
    room: BytesMut,
    held: Option<Held>,
}

impl PartOut for Piece {
    fn chunk(&mut self, _offset: u64, bytes: Bytes) -> io::Result<()> {
        self.room.extend_from_slice(&bytes);
        Ok(())
    }

    fn done(&mut self) {
        self.held = None;
    }
}

impl Opened {
    /// Reads all bytes into one buffer; see [`crate::RangeEngine::read`].
    ///
    /// # Errors
    /// If any part fails for good.
    ///
    /// # Cancel safety
    /// Dropping the future ends all its requests.
    pub async fn into_bytes(mut self) -> Result<(Bytes, RangeStats), RangeError> {
        let len = usize::try_from(self.range().len()).unwrap_or(usize::MAX);
        let too_large = || RangeError::Sink {
            source: io::ErrorKind::OutOfMemory.into(),
        };
        let state = self.state().clone();
        // Asked of a vector first, which can say no: a `BytesMut` that gets no memory ends the process.
        Vec::<u8>::new().try_reserve_exact(len).map_err(|_| too_large())?;
        let mut room = BytesMut::with_capacity(len);
        let pieces = match self.single() {
            Some(job) => vec![
                job.run(Piece {
                    start: 0,
                    room,
                    held: None,
                })
                .await?,
            ],
            None => {
                let cut = |part: forebay_types::ByteRange, held| {
                    let after = room.split_off(
                        usize::try_from(part.len())
                            .unwrap_or(usize::MAX)
                            .min(room.capacity()),
                    );
                    let piece = std::mem::replace(&mut room, after);
                    Piece {
                        start: part.start(),
                        room: piece,
                        held: Some(held),
                    }
                };
                let (mut pieces, _) = self.run(cut).await?;
                pieces.sort_unstable_by_key(|piece| piece.start);
                pieces
            }
        };
        let mut whole = BytesMut::new();
        for piece in pieces {
            whole.unsplit(piece.room);
        }
        Ok((whole.freeze(), state.stats()))
    }
}
