package org.metaflowmaps.runtime;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.bindings.ThreadPools;

class InstallationTest {
    @Test
    void namesTheProductsOfBlas() {
        List<Installation.Part> found = Installation.parts().stream()
                .filter(part -> part.name().equals("BLAS"))
                .toList();
        assertEquals(ThreadPools.blasKernels().isPresent(), !found.isEmpty());
        found.forEach(part ->
                assertTrue(part.found().contains(ThreadPools.blasKernels().orElseThrow())));
    }

    @Test
    void saysIfTheEnvironmentChoseThem() {
        assertEquals(Optional.empty(), Installation.products("Cooperlake", null).cure());
        String cure = Installation.products("Haswell", "HASWELL").cure().orElseThrow();
        assertTrue(cure.contains("OPENBLAS_CORETYPE=HASWELL"), cure);
    }
}
