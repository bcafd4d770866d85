package org.metaflowmaps.steering.reward;

import com.google.common.collect.ImmutableMap;
import com.google.common.collect.Maps;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import org.metaflowmaps.models.vision.ImagePreparation;

/** The scores of images by published networks, with the preparations of images that each has. */
public enum ImageScore {
    /** Human Preference Score v2 and v2.1 (Wu et al., arXiv 2306.09341): the cosine, about 0.2 to 0.35. */
    HPSV2(
            Preprocessing.IMSCORE,
            2e-3,
            Map.of(
                    Preprocessing.IMSCORE, ImagePreparation.LONGEST_SIDE,
                    Preprocessing.OFFICIAL, ImagePreparation.FILE_LONGEST_SIDE)),
    /** PickScore (Kirstain et al., arXiv 2305.01569): the cosine times e^(logit scale), about 17 to 24. */
    PICKSCORE(
            Preprocessing.MFM,
            0.2,
            Map.of(
                    Preprocessing.MFM, ImagePreparation.ROUNDED,
                    Preprocessing.IMSCORE, ImagePreparation.SHORT_SIDE,
                    Preprocessing.OFFICIAL, ImagePreparation.FILE_SHORT_SIDE_FLOOR)),
    /** ImageReward (Xu et al., arXiv 2304.05977), mostly -2 to 2. */
    IMAGEREWARD(
            Preprocessing.IMSCORE,
            3e-2,
            Map.of(
                    Preprocessing.IMSCORE, ImagePreparation.SHORT_SIDE,
                    Preprocessing.OFFICIAL, ImagePreparation.FILE_SHORT_SIDE)),
    /** The cosine of CLIP's features, 0 if negative. */
    CLIP(
            Preprocessing.MFM,
            2e-3,
            Map.of(
                    Preprocessing.MFM, ImagePreparation.ROUNDED,
                    Preprocessing.IMSCORE, ImagePreparation.SHORT_SIDE_BILINEAR,
                    Preprocessing.OFFICIAL, ImagePreparation.FILE_SHORT_SIDE)),
    /** LAION's aesthetic predictor v2, about 1 to 10, without a text. */
    AESTHETIC(
            Preprocessing.IMSCORE,
            3e-2,
            Map.of(
                    Preprocessing.IMSCORE, ImagePreparation.SHORT_SIDE,
                    Preprocessing.OFFICIAL, ImagePreparation.FILE_SHORT_SIDE));

    /** Whose preparation of images. */
    public enum Preprocessing {
        /** That of the network's own program, which reads 8-bit files. It has no gradient: use it for reports. */
        OFFICIAL,
        /** That of the Python package imscore, differentiable. */
        IMSCORE,
        /** That of the public code of Meta Flow Maps, differentiable; only for scores where it differs from imscore's. */
        MFM;

        /** Returns the name in texts. */
        @Override
        public String toString() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    private final Preprocessing usual;
    private final double halfPrecision;
    private final ImmutableMap<Preprocessing, ImagePreparation> preparations;

    ImageScore(Preprocessing usual, double halfPrecision, Map<Preprocessing, ImagePreparation> preparations) {
        this.usual = usual;
        this.halfPrecision = halfPrecision;
        this.preparations = Maps.immutableEnumMap(preparations);
    }

    /** Returns the preprocessing that Meta Flow Maps uses. */
    public Preprocessing usual() {
        return usual;
    }

    /** Returns how far scores in bfloat16 may be from those in float32. */
    double halfPrecision() {
        return halfPrecision;
    }

    /** Returns the possible kinds of preprocessing. */
    public Set<Preprocessing> preprocessings() {
        return preparations.keySet();
    }

    /**
     * Returns the preparation of a kind.
     *
     * @throws IllegalArgumentException if this score has no such preprocessing
     */
    public ImagePreparation preparation(Preprocessing preprocessing) {
        ImagePreparation found = preparations.get(preprocessing);
        if (found == null) {
            throw new IllegalArgumentException("reward " + this + " has no preprocessing of " + preprocessing
                    + ": expected one of "
                    + preparations.keySet().stream()
                            .map(Preprocessing::toString)
                            .collect(Collectors.joining(", ")));
        }
        return found;
    }

    /** Returns the name in texts. */
    @Override
    public String toString() {
        return name().toLowerCase(Locale.ROOT);
    }
}
