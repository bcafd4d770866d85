package org.metaflowmaps.steering.finetune;

import java.lang.foreign.MemorySegment;
import java.util.zip.CRC32C;
import org.metaflowmaps.models.checkpoint.LoadedNetwork;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.model.MlpConfig;
import org.metaflowmaps.models.model.ModelConfig;
import org.metaflowmaps.models.model.TransformerConfig;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/** Copies a student's settings and weights from its base map. */
final class BaseMap {
    private static final long PART = 1 << 26;

    private BaseMap() {}

    static ModelConfig config(LoadedNetwork base) {
        return switch (base.config()) {
            case TransformerConfig transformer -> new ModelConfig(transformer, null);
            case MlpConfig mlp -> new ModelConfig(null, mlp);
        };
    }

    /** Returns a copy of the base's network to train, owned by the caller. */
    static MetaFlowMap student(LoadedNetwork base, Device device) {
        MetaFlowMap student = base.config().zeros(device);
        try (Autograd.Mode off = Autograd.noGrad()) {
            student.parameters().values().copy_(base.map().parameters().values());
            student.buffers().forEach((name, buffer) -> {
                Tensor own = base.map().buffers().get(name);
                if (own != null) {
                    buffer.copy_(own);
                }
            });
        }
        return student;
    }

    /** Returns a checksum of the base's weights, which checkpoints contain to identify the base. */
    static long checksum(MetaFlowMap map) {
        CRC32C sum = new CRC32C();
        try (TensorScope scope = TensorScope.open()) {
            MemorySegment bytes =
                    map.parameters().values().detach().to(Device.CPU).segment();
            for (long from = 0; from < bytes.byteSize(); from += PART) {
                sum.update(bytes.asSlice(from, Math.min(PART, bytes.byteSize() - from))
                        .asByteBuffer());
            }
        }
        return sum.getValue();
    }
}
