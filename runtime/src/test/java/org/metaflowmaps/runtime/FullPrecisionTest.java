package org.metaflowmaps.runtime;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;

final class FullPrecisionTest {
    @Test
    void theLastOneClosedRestoresTheSetting() {
        Handles.initialise();
        boolean before = torch.globalContext().allowTF32CuDNN();
        FullPrecision first = FullPrecision.open();
        FullPrecision second = FullPrecision.open();
        assertFalse(torch.globalContext().allowTF32CuDNN());
        first.close();
        first.close();
        assertFalse(torch.globalContext().allowTF32CuDNN());
        second.close();
        assertEquals(before, torch.globalContext().allowTF32CuDNN());
    }
}
