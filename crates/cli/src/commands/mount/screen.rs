//! A view that is drawn again and again in its place.

use std::io::{self, StdoutLock, Write};

use super::view::Room;

/// Where the terminal does not say how large it is.
const USUAL: Room = Room {
    columns: 80,
    rows: 24,
};

/// Standard output, a terminal. As before when dropped, but for what was drawn last.
#[derive(Debug)]
pub(super) struct Screen {
    out: io::Stdout,
    /// Lines drawn last, and into what.
    drawn: Option<(usize, Room)>,
}

impl Screen {
    pub(super) fn new() -> Self {
        Self {
            out: io::stdout(),
            drawn: None,
        }
    }

    /// How much fits. The last row is where the cursor rests.
    pub(super) fn room() -> Room {
        let size = rustix::termios::tcgetwinsize(io::stdout()).ok();
        let size = size.filter(|size| size.ws_col > 0 && size.ws_row > 1);
        let room = size.map_or(USUAL, |size| Room {
            columns: size.ws_col.into(),
            rows: size.ws_row.into(),
        });
        Room {
            rows: room.rows - 1,
            ..room
        }
    }

    /// Draws `lines` in the place of those that were drawn before.
    pub(super) fn draw(&mut self, lines: &[String], room: Room) -> io::Result<()> {
        let mut frame = String::new();
        match self.drawn {
            // No cursor, and no line that goes on in the next: some characters are wider than they count.
            None => frame.push_str("\x1b[?25l\x1b[?7l"),
            Some((drawn, before)) if before == room && drawn > 0 => {
                frame.push_str(&format!("\x1b[{drawn}A\r"));
            }
            Some((_, before)) if before == room => {}
            // What was drawn is anywhere now.
            Some(_) => frame.push_str("\x1b[H\x1b[2J"),
        }
        for line in lines {
            frame.push_str(line);
            frame.push_str("\x1b[K\n");
        }
        frame.push_str("\x1b[J");
        self.drawn = Some((lines.len(), room));
        write(&mut self.out.lock(), &frame)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            // Nobody may be there to see it.
            let _ = write(&mut self.out.lock(), "\x1b[?7h\x1b[?25h");
        }
    }
}

fn write(out: &mut StdoutLock<'_>, text: &str) -> io::Result<()> {
    out.write_all(text.as_bytes())?;
    out.flush()
}
