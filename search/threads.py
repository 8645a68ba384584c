"""Is there room in the process table? Ray waits for ever, or fails without a word, if not."""

import threading

# Ray's processes and threads for a study of two trials at once on two cores: 441 with the driver.
FOR_RAY = 400


def room_for(count: int) -> bool:
    """Tell whether this process may start so many threads now, by starting them.

    The kernel counts threads as processes, against whichever limit is lowest: the user's, the
    container's or the machine's. It takes some hundredths of a second.
    """
    done = threading.Event()
    started = []
    old = threading.stack_size(64 * 1024)
    try:
        for _ in range(count):
            thread = threading.Thread(target=done.wait, daemon=True)
            thread.start()
            started.append(thread)
    except RuntimeError:  # can't start new thread
        return False
    finally:
        threading.stack_size(old)
        done.set()
        for thread in started:
            thread.join()
    return True
