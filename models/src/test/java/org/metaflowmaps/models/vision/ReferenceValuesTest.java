package org.metaflowmaps.models.vision;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.metaflowmaps.models.vision.ReferenceValues.Outcome;
import org.metaflowmaps.models.vision.ReferenceValues.Status;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;

/** The networks against values of the public Python libraries, computed from the same small random weights. */
class ReferenceValuesTest {
    static Path file(String name) {
        try {
            return Path.of(Objects.requireNonNull(ReferenceValuesTest.class.getResource("/vision/" + name))
                    .toURI());
        } catch (URISyntaxException e) {
            throw new IllegalStateException(e);
        }
    }

    static Stream<Arguments> files() {
        return Stream.of(
                        "vae",
                        "taesd",
                        "clip-hf-gelu",
                        "clip-hf-quickgelu",
                        "clip-open-gelu",
                        "clip-open-quickgelu",
                        "hps",
                        "pickscore",
                        "imagereward",
                        "aesthetic",
                        "inception")
                .flatMap(name -> Stream.of(DType.FLOAT32, DType.FLOAT64).map(type -> Arguments.of(name, type)));
    }

    @ParameterizedTest
    @MethodSource("files")
    void everyCoveredCaseMatches(String name, DType type) throws IOException {
        long before = NativeMemory.liveTensors();
        List<Outcome> outcomes = ReferenceValues.run(file(name + ".safetensors"), Device.CPU, type, any -> true);
        assertEquals(before, NativeMemory.liveTensors(), "live tensors");
        assertEquals(
                List.of(),
                outcomes.stream()
                        .filter(outcome -> outcome.status() != Status.PASS)
                        .toList());
    }
}
