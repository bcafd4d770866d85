package org.metaflowmaps.bindings;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Map;
import org.junit.jupiter.api.Test;

/** An allocator that the user has set up stays as it is. */
final class FreedMemoryTest {
    @Test
    void theUsersSettingsWin() {
        assertFalse(FreedMemory.isChosen(Map.of("PATH", "/bin", "GLIBC_TUNABLES", "glibc.cpu.x86_shstk=off")));
        assertTrue(FreedMemory.isChosen(Map.of("MALLOC_ARENA_MAX", "2")));
        assertTrue(FreedMemory.isChosen(Map.of("GLIBC_TUNABLES", "glibc.malloc.trim_threshold=128000")));
    }
}
