package org.metaflowmaps.training;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.training.config.TeacherConfig;
import org.metaflowmaps.training.config.TrainConfig;
import org.metaflowmaps.training.mixture.GaussianMixture;
import org.metaflowmaps.training.model.MetaFlowMap;
import org.metaflowmaps.training.teacher.ConditionalDrift;
import org.metaflowmaps.training.teacher.Drift;
import org.metaflowmaps.training.teacher.Glass;
import org.metaflowmaps.training.teacher.GuidedDrift;
import org.metaflowmaps.training.teacher.NetworkDrift;

/**
 * The conditional drift that a run is distilled from, and what is behind it.
 *
 * @param drift null if there is no teacher
 * @param network null unless the teacher is one; owned by this object
 * @param mixture null unless the teacher is exact; owned by this object
 */
record Teacher(@Nullable ConditionalDrift drift, @Nullable MetaFlowMap network, @Nullable GaussianMixture mixture) implements AutoCloseable {
    /**
     * The teacher of a configuration.
     *
     * @throws IOException if its file is missing, damaged or of a network that does not fit
     */
    static Teacher open(TrainConfig config, Device device) throws IOException {
        TeacherConfig teacher = config.teacher();
        return switch (teacher.kind()) {
            case NONE -> new Teacher(null, null, null);
            case MIXTURE -> {
                GaussianMixture mixture = GaussianMixture.isotropic(config.data().means(), config.data().variance(), device);
                yield new Teacher(new Glass(mixture.drift()), null, mixture);
            }
            case NETWORK -> {
                MetaFlowMap network = Networks.load(Path.of(Objects.requireNonNull(teacher.file())), config.model(), device);
                yield new Teacher(new Glass(guided(teacher, network)), network, null);
            }
        };
    }

    private static Drift guided(TeacherConfig teacher, MetaFlowMap network) {
        Drift plain = new NetworkDrift(network);
        return switch (teacher.guidance()) {
            case NONE -> plain;
            case SIT -> new GuidedDrift(plain, network.classes(), 0);
            case DMF -> new GuidedDrift(plain, network.classes(), teacher.builtIn());
        };
    }

    @Override
    public void close() {
        if (network != null) {
            network.close();
        }
        if (mixture != null) {
            mixture.close();
        }
    }
}
