package org.metaflowmaps.steering.reward;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.metaflowmaps.models.vision.AestheticHead;
import org.metaflowmaps.models.vision.Clip;
import org.metaflowmaps.models.vision.ClipImageTower;
import org.metaflowmaps.models.vision.ClipSettings;
import org.metaflowmaps.models.vision.ImageReward;
import org.metaflowmaps.models.vision.text.Tokenizer;

/** The kinds of rewards by published networks. */
final class NetworkKinds {
    private static final String FORM = ":FILE[,preprocessing=NAME][,antialias=false][,precision=bfloat16]";

    private NetworkKinds() {}

    static List<RewardKind> all() {
        return List.of(
                new RewardKind(
                        "hpsv2" + FORM,
                        RewardSpec.Input.TEXT,
                        "HPS v2 or v2.1 of images for a prompt, by its weights in FILE",
                        arguments -> clip(arguments, ImageScore.HPSV2)),
                new RewardKind(
                        "pickscore" + FORM,
                        RewardSpec.Input.TEXT,
                        "PickScore of images for a prompt, by its weights in FILE",
                        arguments -> clip(arguments, ImageScore.PICKSCORE)),
                new RewardKind(
                        "imagereward" + FORM,
                        RewardSpec.Input.TEXT,
                        "ImageReward of images for a prompt, by its weights in FILE",
                        NetworkKinds::imageReward),
                new RewardKind(
                        "clip" + FORM,
                        RewardSpec.Input.TEXT,
                        "cosine of images and a prompt by CLIP in FILE, 0 if negative",
                        arguments -> clip(arguments, ImageScore.CLIP)),
                new RewardKind(
                        "aesthetic" + FORM + "[,head=FILE]",
                        RewardSpec.Input.NONE,
                        "LAION's aesthetic score of images by CLIP ViT-L/14 in FILE, and its linear head",
                        NetworkKinds::aesthetic));
    }

    private static RewardKind.Maker clip(RewardArguments given, ImageScore score) {
        NetworkArguments arguments = NetworkArguments.read(given, score, false);
        Path file = arguments.file();
        return context -> {
            TextInputs texts = context.requireTexts(given.text());
            ClipSettings settings = ClipSettings.beside(file)
                    .or(() -> arguments.published())
                    .orElseThrow(() -> new IOException(file + ": there is no config.json of CLIP beside it, and the"
                            + " weights do not show the activation and the heads: get the network's config.json"));
            // Read first, because it is small.
            Tokenizer tokenizer = texts.clip(given.text(), NetworkArguments.CLIP_CONTEXT);
            Clip clip = Clip.load(file, settings, arguments.type(), context.device());
            Tokenizer fitting;
            try {
                fitting = clip.context() == tokenizer.context() ? tokenizer : texts.clip(given.text(), clip.context());
            } catch (IOException | RuntimeException e) {
                clip.close();
                throw e;
            }
            return NetworkReward.ofClip(arguments.settings(), clip, arguments.name(), fitting, texts.prompt());
        };
    }

    private static RewardKind.Maker imageReward(RewardArguments given) {
        NetworkArguments arguments = NetworkArguments.read(given, ImageScore.IMAGEREWARD, false);
        return context -> {
            TextInputs texts = context.requireTexts(given.text());
            Tokenizer tokenizer = texts.bert(given.text());
            ImageReward network = ImageReward.load(arguments.file(), arguments.type(), context.device());
            return NetworkReward.ofImageReward(
                    arguments.settings(), network, arguments.name(), tokenizer, texts.prompt());
        };
    }

    private static RewardKind.Maker aesthetic(RewardArguments given) {
        NetworkArguments arguments = NetworkArguments.read(given, ImageScore.AESTHETIC, true);
        Path file = arguments.file();
        return context -> {
            ClipSettings settings = ClipSettings.beside(file).orElse(ClipSettings.OPENAI_VIT_L_14);
            ClipImageTower tower = ClipImageTower.load(file, settings, arguments.type(), context.device());
            AestheticHead head;
            try {
                head = AestheticHead.load(arguments.head().orElse(file), arguments.type(), context.device());
            } catch (IOException | RuntimeException e) {
                tower.close();
                throw e;
            }
            return NetworkReward.ofAesthetic(arguments.settings(), tower, head, arguments.name());
        };
    }
}
