//! Devices that stall and networks that part, on toy nodes: n1 asks n2 again and again and syncs a file.
//! What a fault does is seen by the node alone.

mod bench;

use bench::{CLASS, Told, effects, fault, ms, outcome, registry, told};
use host::{Addr, Host, OpenMode, Style};
use kernel::outcome::Outcome;

/// What n1 saw: when it asked, how long the answer took, and how long the sync, in milliseconds.
type Asked = (u64, u64, u64);

async fn talker(host: Host, told: Told<Asked>) -> std::io::Result<()> {
    let (net, clock) = (host.net(), host.clock());
    if host.name() == "n2" {
        let listener = net.listen(&Addr("n2:1".into())).await?;
        let (mut tx, mut rx) = listener.accept().await?.split();
        while let Ok(Some(frame)) = rx.recv().await {
            tx.send(CLASS, frame).await?;
        }
    }
    if host.name() == "n1" {
        clock.sleep(ms(20)).await;
        let conn = net.dial(&Addr("n2:1".into()), ms(5_000), Style::Stream).await?;
        let (mut tx, mut rx) = conn.split();
        let file = host.disk().open("data", OpenMode::Fresh).await?;
        let born = clock.now();
        loop {
            let start = clock.now();
            tx.send(CLASS, vec![0; 100].into()).await?;
            rx.recv().await?;
            let answered = clock.now();
            file.append(CLASS, vec![0; 100].into()).await?;
            file.sync(CLASS).await?;
            let took = |a: host::Mono, b: host::Mono| b.since(a).as_millis() as u64;
            let now = clock.now();
            told.lock().unwrap().push((
                took(born, start),
                took(start, answered),
                took(answered, now),
            ));
            clock.sleep(ms(5)).await;
        }
    }
    std::future::pending().await
}

fn talks(faults: &str) -> (Outcome, Vec<Asked>) {
    let story = Told::default();
    let tells = story.clone();
    let outcome = outcome(registry(move |host, _| talker(host, tells.clone())), faults, 1);
    (outcome, told(&story))
}

fn at(on: &str, when: u64, lasts: u64, rest: &str) -> String {
    format!("on = \"{on}\"\nwhen = \"{when}ms\"\nlasts = \"{lasts}ms\"\n{rest}")
}

/// The answers and the syncs that took longer than 50 ms.
fn slow(story: &[Asked]) -> (Vec<u64>, Vec<u64>) {
    let over = |took: u64| (took > 50).then_some(took);
    let answers = story.iter().filter_map(|asked| over(asked.1)).collect();
    (answers, story.iter().filter_map(|asked| over(asked.2)).collect())
}

#[test]
fn a_stalled_disk_holds_one_sync_and_then_goes_on() {
    let (outcome, story) = talks(&fault("disk_stall", &at("n1", 200, 300, "")));
    let (answers, syncs) = slow(&story);
    assert!(answers.is_empty(), "the network is well: {answers:?}");
    assert!(matches!(syncs[..], [took] if (290..=310).contains(&took)), "{syncs:?}");
    assert!(effects(&outcome, "disk_stall") >= 1);
    let (outcome, story) = talks(&fault("disk_stall", &at("n3", 200, 300, "")));
    assert_eq!(slow(&story), (vec![], vec![]), "another host's device");
    assert_eq!(effects(&outcome, "disk_stall"), 0, "nobody asked n3's");
}

#[test]
fn stalls_that_overlap_end_with_the_last() {
    for (first, second) in [((200, 300), (400, 300)), ((200, 500), (300, 100))] {
        let one = fault("disk_stall", &at("n1", first.0, first.1, ""));
        let two = fault("disk_stall", &at("n1", second.0, second.1, ""));
        let (outcome, story) = talks(&format!("{one}{two}"));
        let (_, syncs) = slow(&story);
        assert!(matches!(syncs[..], [took] if (490..=510).contains(&took)), "{syncs:?}");
        assert!(effects(&outcome, "disk_stall") >= 2, "each finds the sync there");
    }
}

#[test]
fn a_partition_cuts_off_its_side_and_heals() {
    for direction in ["both", "out", "in"] {
        let rest = format!("direction = \"{direction}\"");
        let (outcome, story) = talks(&fault("network_partition", &at("n1", 200, 300, &rest)));
        let (answers, syncs) = slow(&story);
        // What was lost is sent again after 200 ms and after 400 ms more.
        assert!(matches!(answers[..], [took] if (290..=800).contains(&took)), "{answers:?}");
        assert!(syncs.is_empty() && story.last().unwrap().0 > 900, "{direction}: {story:?}");
        assert!(effects(&outcome, "network_partition") >= 1, "{direction}");
    }
    let (outcome, story) = talks(&fault("network_partition", &at("n3", 200, 300, "")));
    assert_eq!(slow(&story), (vec![], vec![]), "n1 and n2 are on one side");
    assert_eq!(effects(&outcome, "network_partition"), 0, "nobody asks n3");
}

#[test]
fn partitions_that_overlap_heal_only_what_they_cut() {
    let one = fault("network_partition", &at("n1", 200, 300, "direction = \"in\""));
    let two = fault("network_partition", &at("n1,n3", 400, 300, "direction = \"both\""));
    let (outcome, story) = talks(&format!("{one}{two}"));
    let (answers, _) = slow(&story);
    assert!(matches!(answers[..], [took] if (490..=1_200).contains(&took)), "{answers:?}");
    assert!(story.last().unwrap().1 < 50, "all is well in the end");
    assert!(effects(&outcome, "network_partition") >= 1, "one frame is under way at a time");
}
