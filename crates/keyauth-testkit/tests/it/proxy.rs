//! The wire that can be damaged.

use std::io;
use std::time::Duration;

use keyauth_core::{Clock, SystemClock};
use keyauth_testkit::{FaultProxy, Flow, Way, Wire};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Long enough to see that nothing comes, and short enough to wait for.
const A_WHILE: Duration = Duration::from_millis(200);

/// A server that says everything again, and how each of its connections has ended.
async fn echo() -> (String, mpsc::UnboundedReceiver<io::Result<()>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("tcp://{}", listener.local_addr().expect("its address"));
    let (ends, ended) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let ends = ends.clone();
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ = ends.send(tokio::io::copy(&mut from, &mut to).await.map(drop));
            });
        }
    });
    (url, ended)
}

async fn connect(proxy: &FaultProxy) -> TcpStream {
    let address = proxy.url().trim_start_matches("tcp://");
    let stream = TcpStream::connect(address).await.expect("it listens");
    stream.set_nodelay(true).expect("a socket");
    stream
}

async fn says_again(stream: &mut TcpStream, text: &str) -> io::Result<()> {
    stream.write_all(text.as_bytes()).await?;
    let mut said = vec![0; text.len()];
    stream.read_exact(&mut said).await?;
    assert_eq!(said, text.as_bytes());
    Ok(())
}

#[tokio::test]
async fn a_wire_can_be_damaged_in_every_way_and_mended() {
    let (url, _ended) = echo().await;
    let proxy = FaultProxy::to(&url).await;
    let (mut stream, clock) = (connect(&proxy).await, SystemClock::new());
    says_again(&mut stream, "whole").await.expect("an echo");
    for way in [Way::ToServer, Way::ToClient] {
        proxy.set_flow(way, Flow::Held);
        let held = timeout(A_WHILE, says_again(&mut stream, "held")).await;
        assert!(held.is_err(), "nothing comes");
        proxy.set_flow(way, Flow::Free);
        let mut said = [0; 4];
        stream.read_exact(&mut said).await.expect("what was held is not lost");
        proxy.set_flow(way, Flow::Late(A_WHILE));
        let began = clock.uptime();
        says_again(&mut stream, "late").await.expect("all the same");
        assert!(clock.uptime() - began >= A_WHILE);
        proxy.set_flow(way, Flow::Sliced(1));
        says_again(&mut stream, "sliced").await.expect("whole all the same");
        proxy.set_flow(way, Flow::Free);
    }
    proxy.set_wire(Wire::Dead);
    assert!(timeout(A_WHILE, says_again(&mut stream, "dead")).await.is_err());
    proxy.set_wire(Wire::Cut);
    assert_eq!(stream.read(&mut [0; 9]).await.unwrap_or(0), 0, "it breaks");
    let mut refused = connect(&proxy).await;
    assert!(says_again(&mut refused, "cut").await.is_err());
    proxy.set_wire(Wire::Whole);
    says_again(&mut connect(&proxy).await, "mended").await.expect("an echo");
}

#[tokio::test]
async fn one_side_alone_can_lose_a_connection() {
    let (url, mut ended) = echo().await;
    let proxy = FaultProxy::to(&url).await;
    let mut client = connect(&proxy).await;
    says_again(&mut client, "whole").await.expect("an echo");
    proxy.half_open(Way::ToServer);
    let _ = ended.recv().await.expect("the server has lost it");
    let told = timeout(A_WHILE, client.read(&mut [0; 1])).await;
    assert!(told.is_err(), "the client is not told");

    let mut client = connect(&proxy).await;
    says_again(&mut client, "whole").await.expect("an echo");
    proxy.half_open(Way::ToClient);
    assert_eq!(client.read(&mut [0; 1]).await.unwrap_or(0), 0, "the client has lost it");
    assert!(timeout(A_WHILE, ended.recv()).await.is_err(), "the server is not told");
    says_again(&mut connect(&proxy).await, "whole").await.expect("new ones are");
}
