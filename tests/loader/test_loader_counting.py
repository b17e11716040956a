from __future__ import annotations

import threading

from outcore.loader.counting import Counter, LoaderStats


def test_amounts_add_up_from_any_thread():
    counter = Counter()

    def work():
        for _ in range(1000):
            counter.add(batches=1, bytes_read=3)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.total() == LoaderStats(batches=4000, bytes_read=12000)


def test_amplification():
    assert LoaderStats().read_amplification == 0
    assert LoaderStats(bytes_read=50, bytes_delivered=100).read_amplification == 0.5


def test_as_text():
    text = str(
        LoaderStats(batches=3, samples=24, bytes_delivered=4_000_000, bytes_read=2_000_000, wait_s=1.5)
    )
    assert "3 batches, 24 samples, 4.0 MB delivered, 2.0 MB read (0.50 for each)" in text
    assert "waited 1.50 s" in text
