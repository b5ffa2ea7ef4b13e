//! A release server on the loopback interface, as far as one client needs it.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;

/// Serves the files of a folder until the program ends, and gives the address.
pub(crate) fn folder(folder: PathBuf) -> anyhow::Result<String> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = format!("http://{}", listener.local_addr()?);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            if let Err(error) = answer(&client, &folder) {
                eprintln!("the release server: {error}");
            }
        }
    });
    Ok(address)
}

fn answer(mut client: &TcpStream, folder: &Path) -> std::io::Result<()> {
    let mut lines = BufReader::new(client).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    // What the client says of itself: a reply before it was read would end the connection.
    while lines
        .next()
        .transpose()?
        .is_some_and(|line| !line.is_empty())
    {}
    let name = request
        .split(' ')
        .nth(1)
        .and_then(|path| Path::new(path).file_name());
    let body = name.and_then(|name| std::fs::read(folder.join(name)).ok());
    let status = if body.is_some() {
        "200 OK"
    } else {
        "404 Not Found"
    };
    let body = body.unwrap_or_default();
    let length = body.len();
    write!(
        client,
        "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    )?;
    client.write_all(&body)
}
