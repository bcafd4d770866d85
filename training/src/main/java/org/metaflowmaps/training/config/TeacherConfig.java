package org.metaflowmaps.training.config;

import com.fasterxml.jackson.annotation.JsonProperty;
import org.jspecify.annotations.Nullable;

/**
 * The teacher of a map.
 *
 * @param kind which
 * @param file weights of a network; a run's checkpoint or a public file
 * @param zeroData true if a public file's network has data at time 0; null: taken from the file
 * @param guidance how a network is guided
 * @param builtIn ω, the model guidance to undo
 */
public record TeacherConfig(
        @JsonProperty("kind") Kind kind,
        @JsonProperty("file") @Nullable String file,
        @JsonProperty("is_zero_data") @Nullable Boolean zeroData,
        @JsonProperty("guidance") Guidance guidance,
        @JsonProperty("built_in") double builtIn) {
    /** Checks the ranges. */
    public TeacherConfig {
        Check.given(kind, "teacher.kind");
        Check.given(guidance, "teacher.guidance");
        Check.require(
                kind != Kind.NETWORK || file != null,
                "teacher.kind is network, but teacher.file is %s: name its weights, such as teacher.file=FILE",
                "null");
        Check.require(
                kind == Kind.NETWORK || zeroData == null,
                "teacher.is_zero_data is %s, but only a network's file needs it: leave it null, or set"
                        + " teacher.kind=network",
                zeroData);
        Check.require(builtIn >= 0 && builtIn < 1, "teacher.built_in is %s, expected 0 to below 1", builtIn);
    }

    /** Returns a builder with the default of every setting, as defaults.yaml has them. */
    public static Builder builder() {
        return new Builder();
    }

    /** Returns a builder with these settings. */
    public Builder toBuilder() {
        return new Builder()
                .kind(kind)
                .file(file)
                .zeroData(zeroData)
                .guidance(guidance)
                .builtIn(builtIn);
    }

    /** Teachers by their names in a file. */
    public enum Kind {
        /** No teacher. */
        @JsonProperty("none")
        NONE,
        /** A frozen network. */
        @JsonProperty("network")
        NETWORK,
        /** The exact drift of the mixture that is the data. */
        @JsonProperty("mixture")
        MIXTURE,
        /** A drift passed to the trainer in Java. */
        @JsonProperty("given")
        GIVEN
    }

    /** How a teacher network is guided, by the names of the public code. */
    public enum Guidance {
        /** Only by its labels and scales. */
        @JsonProperty("none")
        NONE,
        /** Classifier-free guidance of a network without built-in guidance. */
        @JsonProperty("sit")
        SIT,
        /** Classifier-free guidance after removing the model guidance of the network's training. */
        @JsonProperty("dmf")
        DMF
    }

    /** A builder, with defaults for all settings. */
    public static final class Builder {
        private Kind kind = Kind.NONE;
        private @Nullable String file;
        private @Nullable Boolean zeroData;
        private Guidance guidance = Guidance.NONE;
        private double builtIn = 0.6;

        private Builder() {}

        /** Sets which teacher. */
        public Builder kind(Kind kind) {
            this.kind = kind;
            return this;
        }

        /** Sets the file with a network's weights: a run's checkpoint or a public file. */
        public Builder file(@Nullable String file) {
            this.file = file;
            return this;
        }

        /** Sets whether a public file's network has data at time 0; null: taken from the file. */
        public Builder zeroData(@Nullable Boolean zeroData) {
            this.zeroData = zeroData;
            return this;
        }

        /** Sets how a network is guided. */
        public Builder guidance(Guidance guidance) {
            this.guidance = guidance;
            return this;
        }

        /** Sets ω, the model guidance to remove. */
        public Builder builtIn(double builtIn) {
            this.builtIn = builtIn;
            return this;
        }

        /**
         * Returns the configuration.
         *
         * @throws IllegalArgumentException if a value is out of range, or settings do not fit together
         */
        public TeacherConfig build() {
            return new TeacherConfig(kind, file, zeroData, guidance, builtIn);
        }
    }
}
