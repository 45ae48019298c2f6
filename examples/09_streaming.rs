//! Streams: a slow reader slows its producer, an early stop ends it, and a broadcast tells who missed what.

use std::time::Duration;

use beluga::prelude::*;
use beluga::runtime::stream::{Broadcast, Heard};
use futures_util::{StreamExt, TryStreamExt};

#[derive(Message)]
#[message(name = "sensor.measure", stream = u64)]
struct Measure;

#[derive(Message)]
#[message(name = "sensor.watch", stream = Heard<u64>)]
struct Watch;

#[derive(Message)]
#[message(name = "sensor.publish", reply = ())]
struct Publish(u64);

protocol!(SensorProtocol: Publish; stream Measure, Watch);

struct Sensor {
    published: Broadcast<u64>,
}

impl Actor for Sensor {
    type Protocol = SensorProtocol;
    const KIND: &'static str = "sensor";
}

impl StreamHandler<Measure> for Sensor {
    async fn handle(&mut self, _: Measure, sink: Sink<u64>, _cx: &mut Cx<Self>) -> Result<()> {
        for value in 1.. {
            sink.send(value).await.inspect_err(|_| println!("nobody reads {value} any more"))?;
            println!("sent {value}");
        }
        Ok(())
    }
}

impl StreamHandler<Watch> for Sensor {
    async fn handle(&mut self, _: Watch, sink: Sink<Heard<u64>>, cx: &mut Cx<Self>) -> Result<()> {
        let values = self.published.subscribe_after(0); // All that is still there.
        drop(cx.job("watch", "watch", cx.context(), move |_| sink.send_all(values)));
        Ok(())
    }
}

impl Handler<Publish> for Sensor {
    async fn handle(&mut self, Publish(value): Publish, _cx: &mut Cx<Self>) -> Result<()> {
        self.published.send(value).map(drop) // Never waits, however slow the readers are.
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let system = System::builder("streaming").build()?;
    let sensor = system.spawn("sensor", || Sensor { published: Broadcast::new(4) }).await?; // Keeps the newest four.
    let mut values = sensor.stream(Measure).window(2).open(); // Lets the sensor be two values ahead.
    while let Some(value @ ..=4) = values.try_next().await? {
        println!("     read {value}");
        beluga::runtime::time::sleep(Duration::from_millis(5)).await;
    }
    drop(values);
    let watch = || sensor.stream(Watch).window(1).open();
    let (mut first, mut second, mut late) = (watch(), watch(), watch());
    for value in 1..=12 {
        sensor.ask(Publish(value)).await?;
        assert_eq!(first.try_next().await?, second.try_next().await?);
        if value == 1 {
            assert_eq!(late.try_next().await?, Some(Heard::Item { number: 1, item: 1 })); // And falls asleep.
        }
    }
    println!("two readers heard all of 12 values; the third one slept after the first, and now it hears");
    for heard in late.take(7).try_collect::<Vec<_>>().await? {
        println!("     {heard:?}");
    }
    system.shutdown_gracefully().await
}
