package org.metaflowmaps.models.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.metaflowmaps.models.layer.Dual;
import org.metaflowmaps.runtime.Autocast;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** With a bfloat16 copy of its weights a network computes the same under autocast as with casts, to the last bit. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
final class NarrowedWeightsTest {
    private Map<String, MetaFlowMap> networks = Map.of();

    @BeforeAll
    void open() {
        networks = SmallNetworks.all();
    }

    @AfterAll
    void close() {
        networks.values().forEach(MetaFlowMap::close);
    }

    Stream<String> names() {
        return networks.keySet().stream();
    }

    private MetaFlowMap network(String name) {
        return Objects.requireNonNull(networks.get(name));
    }

    private static Dual velocity(MetaFlowMap map, boolean through) {
        try (RandomSource random = RandomSource.seeded(5)) {
            Tensor end = random.uniform(SmallNetworks.BATCH);
            Tensor one = Torch.onesLike(end);
            Tensor start = random.uniform(SmallNetworks.BATCH);
            Tensor state = SmallNetworks.items(map, random);
            Context context = SmallNetworks.context(map, random);
            return map.averageVelocity(
                    Dual.constant(start),
                    through ? Dual.through(end, one) : Dual.of(end, one),
                    Dual.constant(state),
                    context);
        }
    }

    private static List<float[]> values(MetaFlowMap map) {
        List<float[]> found = new ArrayList<>();
        for (boolean through : new boolean[] {false, true}) {
            Dual velocity = velocity(map, through);
            found.add(velocity.primal().toFloatArray());
            found.add(velocity.tangentOrZero().toFloatArray());
        }
        return found;
    }

    /** The gradients after two losses, of a value and through a tangent; the second uses the network twice. */
    private static float[] gradients(MetaFlowMap map, boolean byHand) {
        ParameterArena arena = map.parameters();
        arena.gradients().zero_();
        for (boolean through : new boolean[] {false, true}) {
            try (TensorScope scope = TensorScope.open();
                    BlockTape tape = byHand ? BlockTape.open() : null) {
                Tensor loss;
                try (Autocast on = Autocast.bfloat16(Device.Type.CPU)) {
                    Dual velocity = velocity(map, through);
                    loss = velocity.primal().square().sum();
                    if (through) {
                        loss = loss.add(velocity(map, true).tangentOrZero().sum());
                    }
                }
                if (tape == null) {
                    Autograd.backward(loss);
                } else {
                    tape.backward(loss);
                }
                arena.addNarrowedGradients();
            }
        }
        return arena.gradients().toFloatArray();
    }

    private static void assertSame(List<float[]> expected, List<float[]> actual, String what) {
        for (int i = 0; i < expected.size(); i++) {
            assertArrayEquals(expected.get(i), actual.get(i), what + ", " + i);
        }
    }

    @ParameterizedTest
    @MethodSource("names")
    void valuesAndTangentsAreThoseOfCasts(String name) {
        MetaFlowMap map = network(name);
        // A map keeps its copy's memory.
        map.parameters().narrow();
        map.parameters().widen();
        long tensors = NativeMemory.liveTensors();
        try (TensorScope scope = TensorScope.open();
                MetaFlowMap frozen = map.frozen()) {
            for (MetaFlowMap one : List.of(map, frozen)) {
                List<float[]> exact = values(one);
                List<float[]> cast;
                List<float[]> plain;
                try (Autocast on = Autocast.bfloat16(Device.Type.CPU)) {
                    cast = values(one);
                    try (Autograd.Mode off = Autograd.inference()) {
                        plain = List.of(velocity(one, false).primal().toFloatArray());
                    }
                }
                one.parameters().narrow();
                try (Autocast on = Autocast.bfloat16(Device.Type.CPU)) {
                    assertSame(cast, values(one), name);
                    try (Autograd.Mode off = Autograd.inference()) {
                        assertSame(plain, List.of(velocity(one, false).primal().toFloatArray()), name);
                    }
                }
                assertSame(exact, values(one), name + " without autocast");
                one.parameters().widen();
            }
        }
        assertEquals(tensors, NativeMemory.liveTensors());
    }

    @ParameterizedTest
    @MethodSource("names")
    void gradientsAreThoseOfCasts(String name) {
        MetaFlowMap map = network(name);
        try (TensorScope scope = TensorScope.open()) {
            for (boolean byHand : new boolean[] {false, true}) {
                float[] cast = gradients(map, byHand);
                map.parameters().narrow();
                try {
                    assertArrayEquals(cast, gradients(map, byHand), name + (byHand ? ", by hand" : ""));
                } finally {
                    map.parameters().widen();
                }
            }
        }
    }

    /** The copy is really used: a change of the weights is seen only after the next call. */
    @Test
    void theCopyIsUsedUnderAutocastOnly() {
        MetaFlowMap map = network("transformer");
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            ParameterArena arena = map.parameters();
            arena.narrow();
            Tensor weight = arena.get("blocks.0.attn.qkv.weight");
            float[] exact = velocity(map, false).primal().toFloatArray();
            try (Autocast on = Autocast.bfloat16(Device.Type.CPU)) {
                float[] before = velocity(map, false).primal().toFloatArray();
                weight.mul_(2);
                assertArrayEquals(before, velocity(map, false).primal().toFloatArray());
                arena.narrow();
                assertNotEquals(before[0], velocity(map, false).primal().toFloatArray()[0]);
            }
            assertNotEquals(exact[0], velocity(map, false).primal().toFloatArray()[0]);
            weight.mul_(0.5);
            arena.widen();
        }
    }
}
